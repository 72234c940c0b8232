"""Deletes the versions of what is long gone from etcd, every hour."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from milvus_coord.coordinators.rootcoord.metadata import catalog_keys as keys
from milvus_coord.coordinators.rootcoord.metadata.catalog import Catalog
from milvus_coord.coordinators.rootcoord.metadata.catalog_snapshots import TOMBSTONE, Version
from milvus_coord.etcd.errors import EtcdError
from milvus_coord.etcd.prefix import range_end
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.etcd.txn import delete, mod_revision_is
from milvus_coord.etcd.values import KeyValue
from milvus_coord.ha.election.fence import ConditionFailed, Fence
from milvus_coord.model.timestamps import physical_ms
from milvus_coord.role.metadata.transactions import in_transactions
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.loop import Loop
from milvus_coord.telemetry.log import log

EVERY_S: Final = 3600.0

_SLICE: Final = 200


@dataclass(frozen=True, slots=True)
class ExpiredKey:
    """A key that is gone and some of its versions, oldest first, that are past their time.

    With `whole` these are all versions, and the plain key goes with them.
    """

    key: bytes
    versions: tuple[bytes, ...]
    whole: bool


class SnapshotGc:
    """The rule of Go 2.2.16: of a key whose newest version is the tombstone, versions expire.

    `retention_s` (`common.retentionDuration`) counts from a version's timestamp. A key that is
    there keeps all its versions. Nothing is deleted of a key that was written in the meantime.
    """

    def __init__(
        self,
        etcd: Etcd,
        fence: Fence,
        clock: Clock,
        catalog: Catalog,
        retention_s: Callable[[], float],
    ) -> None:
        self._etcd, self._fence, self._clock = etcd, fence, clock
        self._snapshots = catalog.snapshots
        self._retention_s = retention_s

    def loop(self) -> Loop:
        """A turn each hour; the first one in an hour."""
        return Loop("rootcoord.snapshot_gc", EVERY_S, self.turn, first_after_s=EVERY_S)

    async def turn(self) -> None:
        """Collect; trouble in etcd is left for the next hour. Raises FencedOff."""
        try:
            deleted = await self.collect()
        except EtcdError as error:
            log.warn("expired metadata not deleted, trying in an hour", error=str(error))
        else:
            if deleted:
                log.info("expired metadata deleted", keys=deleted)

    async def collect(self) -> int:
        """One round; how many keys of etcd it deleted. Raises FencedOff and etcd's errors."""
        deleted = 0
        for room in keys.VERSIONED:
            for expired in await self._expired(room):
                deleted += await self._delete(expired)
        return deleted

    async def _expired(self, room: str) -> list[ExpiredKey]:
        """The dead keys of a room that have expired versions; no more of it stays in memory."""
        prefix = self._snapshots.below(f"{room}/".encode())
        dead_before_ms = self._clock.wall_ns() / 1e6 - self._retention_s() * 1000
        expired: list[ExpiredKey] = []
        open_groups: dict[bytes, list[Version]] = {}

        def close(groups: Iterable[bytes]) -> None:
            found = (_expired_of(key, open_groups.pop(key), dead_before_ms) for key in groups)
            expired.extend(filter(None, found))

        async with aclosing(self._etcd.pages(prefix, range_end(prefix))) as pages:
            async for page in pages:
                for index, kv in enumerate(page.kvs, 1):
                    close([key for key in open_groups if not self._may_have(key, kv)])
                    if version := self._snapshots.parse(kv):
                        open_groups.setdefault(version.key, []).append(version)
                    if index % _SLICE == 0:
                        await asyncio.sleep(0)
        close(list(open_groups))
        return expired

    def _may_have(self, key: bytes, later: KeyValue) -> bool:
        """Whether versions of `key` may follow: those of `<key>_ts1` lie between them."""
        return later.key.startswith(self._snapshots.versions(key))

    async def _delete(self, expired: ExpiredKey) -> int:
        """Delete the expired versions in order, and with the last of all of them the plain key.

        In this order the tombstone outlives what it hides, whenever we are stopped.
        """
        plain = self._snapshots.plain(expired.key)
        stored = (await self._etcd.get(plain)).kv
        if stored is not None and stored.value != TOMBSTONE:
            return 0
        unchanged = mod_revision_is(plain, stored.mod_revision if stored else 0)
        gone = (*expired.versions, plain) if expired.whole else expired.versions
        deleted = 0
        for part in in_transactions((delete(key),) for key in gone):
            try:
                await self._fence.commit(*part, when=(unchanged,))
            except ConditionFailed:
                break
            deleted += len(part)
        return deleted


def _expired_of(key: bytes, versions: list[Version], dead_before_ms: float) -> ExpiredKey | None:
    versions.sort(key=lambda version: version.ts)
    if not versions[-1].dead:
        return None
    expired = [version for version in versions if physical_ms(version.ts) < dead_before_ms]
    if not expired:
        return None
    gone = tuple(version.kv.key for version in expired)
    return ExpiredKey(key, gone, whole=len(expired) == len(versions))
