"""The stored bound of one allocator, moved by guarded writes that cannot overtake each other."""

from __future__ import annotations

from milvus_coord.allocator import window
from milvus_coord.etcd.errors import EtcdError
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.etcd.txn import mod_revision_is, put
from milvus_coord.etcd.values import KeyValue
from milvus_coord.ha.election.fence import ConditionFailed, Fence
from milvus_coord.telemetry.log import log


class FencedWindow:
    """Implements `allocator.window.Window`.

    A save compares that the bound is the one we know. Without that a save whose answer was lost
    could arrive behind a later one of the same term, and lower the bound below what was handed
    out.
    """

    def __init__(self, etcd: Etcd, fence: Fence, key: bytes) -> None:
        self._etcd, self._fence, self._key = etcd, fence, key
        self._revision: int | None = None

    async def load(self) -> int:
        """Read the bound, in Unix nanoseconds, 0 when there is none. Raises BadValue."""
        stored = await self._read()
        bound_ns = window.decode(self._key.decode(), stored.value if stored else None)
        if stored and stored.value and not bound_ns:
            log.error(
                "the stored bound is none that an allocator writes, it is passed over",
                key=self._key.decode(),
                value=stored.value.hex(),
            )
        return bound_ns

    async def save(self, bound_ns: int) -> None:
        while True:
            if self._revision is None:
                await self._read()  # no need to understand it: while we lead, ours is the bound
            assert self._revision is not None
            known, self._revision = self._revision, None
            unchanged = (mod_revision_is(self._key, known),)
            try:
                saved = await self._fence.commit(
                    put(self._key, window.encode(bound_ns)), when=unchanged
                )
            except ConditionFailed:  # an earlier save has arrived after all, or others wrote here
                continue
            except EtcdError as error:
                if not getattr(error, "sent", False):
                    self._revision = known
                raise
            self._revision = saved.revision
            return

    async def _read(self) -> KeyValue | None:
        stored = (await self._etcd.get(self._key)).kv
        self._revision = stored.mod_revision if stored else 0
        return stored

    def __repr__(self) -> str:
        return f"<FencedWindow {self._key.decode()}>"
