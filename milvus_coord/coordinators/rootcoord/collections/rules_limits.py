"""How many collections and databases there may be, counting those that are being made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from milvus_coord.coordinators.rootcoord.metadata.state import MetaState
from milvus_coord.model.errors import Refused


@dataclass(frozen=True, slots=True)
class DdlLimits:
    """Settings that DDL statements obey, by the keys of Milvus' configuration.

    `dml_prefix` is `<common.chanNamePrefix.cluster>-<rootCoordDml>`, before `_<index>`.
    """

    dml_prefix: str
    dml_channel_num: int  # rootCoord.dmlChannelNum
    max_shard_num: int  # proxy.maxShardNum
    max_collections: int  # quotaAndLimits.limits.maxCollectionNum
    max_collections_per_db: int  # quotaAndLimits.limits.maxCollectionNumPerDB
    max_databases: int  # rootCoord.maxDatabaseNum, `default` not counted
    max_partitions: int  # rootCoord.maxPartitionNum
    default_partition_name: str  # common.defaultPartitionName
    auto_index: bool  # autoIndex.enable


class PendingCreates:
    """Names of collections and databases that statements are making; their locks are held.

    They count against the limits as if they were there.
    """

    def __init__(self, limits: DdlLimits) -> None:
        self._limits = limits
        self._collections: set[tuple[int, str]] = set()
        self._databases: set[str] = set()

    def any_collection(self, db_id: int) -> bool:
        """Whether one is being made in this database."""
        return any(of == db_id for of, _ in self._collections)

    @contextmanager
    def collection(self, state: MetaState, db_id: int, name: str) -> Iterator[None]:
        """It is being made until the block ends. Raises Refused."""
        self._check_collections(state, db_id)
        self._collections.add((db_id, name))
        try:
            yield
        finally:
            self._collections.discard((db_id, name))

    @contextmanager
    def database(self, state: MetaState, name: str) -> Iterator[None]:
        """It is being made until the block ends. Raises Refused.

        As in Go 2.2.16 one more may exist than `rootCoord.maxDatabaseNum` says.
        """
        there = len(self._databases.union(database.name for database in state.databases()))
        limit = self._limits.max_databases
        if there > limit:
            raise Refused(f"database number ({there}) exceeds max configuration ({limit})")
        self._databases.add(name)
        try:
            yield
        finally:
            self._databases.discard(name)

    def _check_collections(self, state: MetaState, db_id: int) -> None:
        of_db, of_all = self._limits.max_collections_per_db, self._limits.max_collections
        at_most_made = len(self._collections)
        if state.count(db_id) + at_most_made < of_db and state.count() + at_most_made < of_all:
            return
        made = [each for each in self._collections if state.by_name(*each) is None]
        if state.count(db_id) + sum(of == db_id for of, _ in made) >= of_db:
            raise Refused(
                "exceeded the limit number of collections per DB, "
                f"maxCollectionNumPerDB={{{of_db}}}"
            )
        if state.count() + len(made) >= of_all:
            raise Refused(f"exceeded the limit number of collections, limit={{{of_all}}}")
