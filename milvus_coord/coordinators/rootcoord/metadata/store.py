"""RootCoord's metadata as its statements use it."""

from __future__ import annotations

from collections.abc import Callable

from milvus_coord.allocator.sources import Timestamps
from milvus_coord.coordinators.rootcoord.metadata.catalog import Catalog
from milvus_coord.coordinators.rootcoord.metadata.image import MetaImage
from milvus_coord.coordinators.rootcoord.metadata.state import MetaState
from milvus_coord.ha.election.fence import Fence
from milvus_coord.ha.mirror.mirror import Mirror
from milvus_coord.model.collection import Collection
from milvus_coord.model.errors import CollectionNotFound
from milvus_coord.model.timestamps import Timestamp
from milvus_coord.role.metadata.store import MetadataStore
from milvus_coord.telemetry.log import log


class Store(MetadataStore[MetaState]):
    """One term's metadata; `catalog` builds what `write` is given."""

    def __init__(
        self,
        mirror: Mirror[MetaImage],
        fence: Fence,
        require_lease: Callable[[], None],
        catalog: Catalog,
        timestamps: Timestamps,
    ) -> None:
        super().__init__(mirror, fence, require_lease)
        self.catalog, self._timestamps = catalog, timestamps

    async def now(self) -> Timestamp:
        """A fresh timestamp. Take it with the locks held: those in snapshots grow key by key."""
        return await self._timestamps.take(1)

    async def find(self, db_name: str, name: str) -> Collection:
        """The collection that users mean by `name`; Raises DatabaseNotFound, CollectionNotFound.

        In the words of Go 2.2.16 for a lookup at the time of a statement.
        """
        state = self.current
        database = state.require_database(db_name)
        try:
            return state.resolve(db_name, name)
        except CollectionNotFound:
            reason = f"can't find collection {database.id}:{name}, at timestamp = "
        raise CollectionNotFound(f"{reason}{await self.now()}")

    async def modernize(self) -> None:
        """Bring records of old forms to today's, at activation: nobody else needs to know them.

        Go 2.2.16 does so bit by bit, when it writes an alias or renames a collection, but loses the
        fields of a collection in the layout of before 2.1. Collections of before databases stay
        under their old keys, where Go also keeps them. Raises FencedOff and etcd's errors.
        """
        collections, aliases = tuple(self.state.old_layouts()), tuple(self.state.old_aliases())
        if not collections and not aliases:
            return
        ts = await self.now()
        for collection, partitions in collections:
            await self.commit(self.catalog.unfold_collection(collection, partitions, ts))
        for records in aliases:
            await self.commit(self.catalog.move_alias(records, ts))
        log.info(
            "old records brought to today's form",
            collections=len(collections),
            aliases=len(aliases),
        )
