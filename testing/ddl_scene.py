"""All those around a rootcoord, played by the test: coordinators and a proxy with sessions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from milvus_coord.etcd.client.client import EtcdClient
from milvus_coord.etcd.settings import EtcdSettings
from milvus_coord.etcd.txn import Txn, put
from milvus_coord.pb.milvus.proto.data import GcConfirmResponse
from milvus_coord.runtime.clock import SystemClock
from milvus_coord.runtime.race import cancel_and_wait
from milvus_coord.wire.status import ok
from testing.ddl_callers import FIELD_IDS, Book, Callers
from testing.ddl_client import Outcome, RootClient, active_in, always
from testing.ddl_stored import Stored
from testing.fake_proxies import FakeProxy, proxy_servers, register
from testing.fake_services import Fake, Recorder, fake

PROXY_ID: Final = 90
_SERVER_IDS: Final = {"datacoord": 91, "querycoord": 92, "indexcoord": 93}
_REPORT_EVERY_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Held:
    """Collections whose WatchChannels are not answered; `release` answers them."""

    collection_ids: tuple[int, ...]
    names: tuple[str, ...]
    _answer: asyncio.Event

    def release(self) -> None:
        self._answer.set()


class Scene:
    """The fakes, and a client of the one that is active."""

    def __init__(
        self, etcd: EtcdClient, fakes: dict[str, Fake], proxy: FakeProxy, client: RootClient
    ) -> None:
        self.etcd, self.proxy, self.client = etcd, proxy, client
        self.datacoord: Recorder = fakes["datacoord"].recorder
        self.querycoord: Recorder = fakes["querycoord"].recorder
        self.indexcoord: Recorder = fakes["indexcoord"].recorder

    async def hold_watches(self, count: int) -> Held:
        """Keep datacoord from answering `count` creates, once they have come that far."""
        answer = asyncio.Event()
        before = len(self.datacoord.requests("WatchChannels"))
        self.datacoord.hold = answer
        try:
            async with asyncio.timeout(20):
                while len(self.datacoord.requests("WatchChannels")) < before + count:
                    await asyncio.sleep(0.002)
        finally:
            self.datacoord.hold = None
        asked = self.datacoord.requests("WatchChannels")[before:]
        names = tuple(each.schema.name for each in asked)
        return Held(tuple(each.collection_id for each in asked), names, answer)

    async def verify(self, callers: Callers, address: str, *, dropping: bool = True) -> Stored:
        """What was acknowledged is there, by the answers of `address` and in etcd; no more is."""
        stored = await Stored.clean(self.etcd, dropping=dropping)
        client = RootClient(always(address), try_s=10.0)
        try:
            shown = await client.ask("ShowCollections")
            unclaimed = dict(zip(shown.collection_names, shown.collection_ids, strict=True))
            assert unclaimed.keys() == stored.visible().keys()
            for book in callers.books:
                names = unclaimed.keys() & set(book.names)
                assert len(names) <= 1, f"{book} has all these names: {names}"
                if book.there is not None:
                    assert bool(names) == book.there, book
                for name in names:
                    await _check_book(client, book, name, unclaimed.pop(name), stored)
            assert not unclaimed, f"nobody asked for {unclaimed}"
        finally:
            client.close()
        return stored

    async def report_ticks(self) -> None:
        """Promise the active rootcoord, for the proxy, that it writes nothing old; for ever."""
        client = RootClient(active_in(self.etcd), try_s=1.0)
        try:
            while True:
                now = await client.attempt("AllocTimestamp", count=1)
                if now.outcome is Outcome.OK:
                    await client.attempt(
                        "UpdateChannelTimeTick",
                        base={"sourceID": PROXY_ID},
                        default_timestamp=now.reply.timestamp,
                    )
                await asyncio.sleep(_REPORT_EVERY_S)
        finally:
            client.close()


async def _check_book(
    client: RootClient, book: Book, name: str, collection_id: int, stored: Stored
) -> None:
    record = stored.visible()[name]
    assert collection_id == record.ID, book
    described = await client.ask("DescribeCollection", collection_name=name)
    partitions = await client.ask("ShowPartitions", collection_name=name)
    assert described.collectionID == collection_id
    assert described.virtual_channel_names == record.virtual_channel_names
    assert described.created_timestamp == record.create_time
    assert {each.fieldID for each in described.schema.fields} == FIELD_IDS
    assert stored.fields[collection_id].keys() == FIELD_IDS, book
    in_etcd = {each.partitionName for each in stored.partitions[collection_id].values()}
    assert set(partitions.partition_names) == in_etcd, book
    _check(book.partitions | {"_default": True}, in_etcd, book)
    aliases = {one.alias_name for one in stored.aliases.values() if one.collection_id == record.ID}
    assert set(described.aliases) == aliases, book
    _check(book.aliases, aliases, book)
    for alias in aliases:
        found = await client.ask("DescribeCollection", collection_name=alias)
        assert found.collectionID == collection_id, book


def _check(wanted: dict[str, bool | None], found: set[str], book: Book) -> None:
    certain = {name for name, there in wanted.items() if there}
    possible = {name for name, there in wanted.items() if there is not False}
    assert certain <= found <= possible, f"{found} of {book}"


async def answers(address: str) -> dict[str, bytes]:
    """All that a rootcoord says about all that there is, each reply by its question."""
    client = RootClient(always(address), try_s=10.0)
    found: dict[str, bytes] = {}

    async def note(rpc: str, name: str) -> Any:
        reply = await client.ask(rpc, collection_name=name)
        found[f"{rpc} {name}"] = reply.SerializeToString()
        return reply

    try:
        shown = await client.ask("ShowCollections")
        names, ids, created = shown.collection_names, shown.collection_ids, shown.created_timestamps
        found["ShowCollections"] = repr(sorted(zip(names, ids, created, strict=True))).encode()
        for name in shown.collection_names:
            described = await note("DescribeCollection", name)
            await note("ShowPartitions", name)
            for alias in described.aliases:
                await note("DescribeCollection", alias)
    finally:
        client.close()
    return found


@asynccontextmanager
async def scene(endpoints: Sequence[str]) -> AsyncIterator[Scene]:
    """Everybody is there and registered inside the block; the proxy reports its time ticks."""
    async with AsyncExitStack() as stack:
        etcd = EtcdClient(EtcdSettings(tuple(endpoints)), SystemClock())
        stack.push_async_callback(etcd.close)
        await etcd.connect()
        fakes = {
            role: await stack.enter_async_context(fake(role, server_id=server_id))
            for role, server_id in _SERVER_IDS.items()
        }
        for role, each in fakes.items():
            await etcd.txn(Txn((), (put(_session_key(role), _session(role, each)),)))
        (proxy,) = await stack.enter_async_context(proxy_servers(PROXY_ID))
        await register(etcd, proxy)
        client = RootClient(active_in(etcd))
        stack.callback(client.close)
        fakes["datacoord"].recorder.replies["GcConfirm"] = GcConfirmResponse(
            status=ok(), gc_finished=True
        )
        made = Scene(etcd, fakes, proxy, client)
        reporting = asyncio.create_task(made.report_ticks(), name="the proxy's ticks")
        stack.push_async_callback(cancel_and_wait, reporting)
        yield made


def _session_key(role: str) -> bytes:
    return f"by-dev/meta/session/{role}".encode()


def _session(role: str, each: Fake) -> bytes:
    fields = {"ServerID": each.server_id, "ServerName": role, "Address": each.peer.address}
    return json.dumps({**fields, "Exclusive": True, "Version": "2.2.16"}).encode()
