"""What the mirror makes of RootCoord's keys: a MetaState, and a word in the log about damage."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from milvus_coord.coordinators.rootcoord.access.state import AccessState
from milvus_coord.coordinators.rootcoord.metadata.catalog import Catalog
from milvus_coord.coordinators.rootcoord.metadata.events import Damaged, Mended
from milvus_coord.coordinators.rootcoord.metadata.state import MetaState
from milvus_coord.ha.mirror.image import Mirrored
from milvus_coord.ha.pair.keys import Keys
from milvus_coord.telemetry.log import log


def mirrored(meta_root: str) -> Mirrored[MetaImage]:
    """What RootCoord keeps in memory.

    Mirrors of versions that knew one role wrote their marks below `root-coord/ha/`, which is no
    key of the catalog and changes nothing.
    """
    catalog = Catalog(meta_root)
    pair = Keys(meta_root, "rootcoord").ha
    return Mirrored((catalog.prefix,), pair, MetaImage.maker(catalog))


class MetaImage:
    """An image for `ha.mirror`. Each damaged value is logged once, however often it is read."""

    def __init__(self, catalog: Catalog, reported: set[tuple[bytes, str]]) -> None:
        self._catalog, self._reported = catalog, reported
        self.state = MetaState(AccessState())

    @classmethod
    def maker(cls, catalog: Catalog) -> Callable[[], MetaImage]:
        """Makes one image after another; what one has reported the next one does not."""
        reported: set[tuple[bytes, str]] = set()
        return lambda: cls(catalog, reported)

    def put(self, key: bytes, value: bytes) -> None:
        self._take(key, value)

    def delete(self, key: bytes) -> None:
        self._take(key, None)

    def records(self) -> Iterator[object]:
        return self.state.records()

    def check(self) -> list[str]:
        return self.state.check()

    def _take(self, key: bytes, value: bytes | None) -> None:
        event = self._catalog.event(key, value)
        if self.state.is_damaged(key):
            self.state.on(Mended(key))
        if isinstance(event, Damaged):
            self._report(event)
        if event is not None:
            self.state.on(event)

    def _report(self, damaged: Damaged) -> None:
        if (damaged.key, damaged.reason) in self._reported:
            return
        self._reported.add((damaged.key, damaged.reason))
        log.error(
            "a record in etcd is damaged, what it holds is not served",
            key=damaged.key.decode(errors="backslashreplace"),
            reason=damaged.reason,
        )
