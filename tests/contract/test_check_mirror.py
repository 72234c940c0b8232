"""`milvus check mirror` against a real etcd: it finds what is wrong, and nothing else."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, cast

import pytest

from milvus_coord.cli.mirror_members import Member
from milvus_coord.cli.mirror_verdict import Finding, Judge
from milvus_coord.coordinators.rootcoord.metadata.catalog import Catalog
from milvus_coord.coordinators.rootcoord.metadata.image import MetaImage, mirrored
from milvus_coord.etcd.client.client import EtcdClient
from milvus_coord.etcd.protocol import Etcd, Watch
from milvus_coord.etcd.txn import Op, Txn, delete, put
from milvus_coord.etcd.values import Batch, Event, GetResult, RangeResult
from milvus_coord.ha.mirror.dump import Digest
from milvus_coord.ha.mirror.mirror import Mirror
from milvus_coord.ha.mirror.report import MirrorReport
from milvus_coord.ha.pair.instance_status import InstanceStatus
from milvus_coord.ha.pair.keys import Keys
from milvus_coord.ha.report import Report
from milvus_coord.model.collection import CollectionState
from milvus_coord.model.database import Alias, Database
from milvus_coord.model.states import Phase
from milvus_coord.runtime.clock import SystemClock
from milvus_coord.runtime.race import cancel_and_wait
from milvus_coord.runtime.watchdog import Pulse
from milvus_coord.telemetry.endpoints import routes
from milvus_coord.telemetry.management import ManagementServer
from milvus_coord.telemetry.metrics import Metrics
from testing.etcd import EtcdMember
from testing.metadata import META_ROOT, collection, partition, ts
from testing.ports import free_ports
from tests.contract.etcd_helpers import SOON_S, connected

pytestmark = pytest.mark.etcd

CATALOG: Final = Catalog(META_ROOT)
KEYS: Final = Keys(META_ROOT, "rootcoord")
ROOT: Final = Path(__file__).parents[2]
EQUAL, NO_ETCD, MISTAKE, DIFFERENT, NOT_ASKED = range(5)


@dataclass(frozen=True)
class Instance:
    """One that answers at its management port; `mirror` is what it tells of."""

    server_id: int
    mirror: Mirror[MetaImage]
    management: str


@asynccontextmanager
async def instance(server_id: int, etcd: Etcd, writer: EtcdClient) -> AsyncIterator[Instance]:
    clock = SystemClock()
    mirror = Mirror(etcd, clock, mirrored(META_ROOT))
    report = MirrorReport("rootcoord")
    report.has(mirror)
    status = Report("rootcoord", clock, Pulse(clock))
    server = ManagementServer(routes(status, Metrics(), report))
    management = f"127.0.0.1:{await server.start('127.0.0.1', 0)}"
    task = asyncio.create_task(mirror.run(), name="mirror")
    try:
        await tell(writer, server_id, management)
        yield Instance(server_id, mirror, management)
    finally:
        await cancel_and_wait(task)
        await server.close()


async def tell(writer: EtcdClient, server_id: int, management: str) -> None:
    """Its instance status."""
    status = InstanceStatus(
        server_id=server_id,
        phase=Phase.STANDBY,
        ready=True,
        why=(),
        address="127.0.0.1:1",
        management=management,
        version="0",
        epoch=0,
        lease_age_ms=0,
        serve_age_ms=None,
        revision=0,
        behind=0,
        etcd_ms=0,
        loop_lag_ms=0,
    )
    await writer.txn(Txn((), (put(KEYS.status(server_id), status.encode()),)))


async def fill(etcd: EtcdClient, count: int = 50) -> int:
    """Some of everything, some of it deleted and changed again; the last revision."""
    transactions = CATALOG.put_database(Database(1, "default", 1), ts(0))
    for number in range(100, 100 + count):
        made = collection(number, state=CollectionState.CREATING)
        parts = [partition(number, number * 10)]
        transactions += CATALOG.create_collection(made, parts, ts(1))
        done = replace(made, state=CollectionState.CREATED)
        transactions += CATALOG.put_collection(done, ts(2))
        transactions += CATALOG.put_alias(Alias(f"a{number}", 1, number, ts(2)), ts(2))
    return await send(etcd, transactions)


async def send(etcd: EtcdClient, transactions: list[tuple[Op, ...]]) -> int:
    revision = 0
    for ops in transactions:
        revision = (await etcd.txn(Txn((), ops))).revision
    return revision


@dataclass(frozen=True)
class Checked:
    """How the command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def members(self) -> list[dict[str, Any]]:
        (role,) = json.loads(self.out)["roles"]
        members: list[dict[str, Any]] = role["members"]
        return members


async def check(endpoint: str, *words: str) -> Checked:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "milvus_coord", "check", "mirror", *words),
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "ETCD_ENDPOINTS": endpoint},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(SOON_S * 2):
        out, err = await process.communicate()
    assert process.returncode is not None
    return Checked(process.returncode, out.decode(), err.decode())


class Deaf:
    """An etcd whose watches lose what `loses` says; all else is the real one's."""

    def __init__(self, etcd: EtcdClient, loses: Callable[[Event], bool]) -> None:
        self._etcd, self._loses = etcd, loses

    def __getattr__(self, name: str) -> Any:
        return getattr(self._etcd, name)

    def watch(self, key: bytes, **more: Any) -> Watch:
        return DeafWatch(self._etcd.watch(key, **more), self._loses)


class DeafWatch:
    def __init__(self, watch: Watch, loses: Callable[[Event], bool]) -> None:
        self._watch, self._loses = watch, loses

    def __aiter__(self) -> AsyncIterator[Batch]:
        return self

    async def __anext__(self) -> Batch:
        batch = await anext(self._watch)
        heard = tuple(event for event in batch.events if not self._loses(event))
        return Batch(heard, batch.revision)

    async def aclose(self) -> None:
        await self._watch.aclose()


async def test_a_pair_that_holds_what_etcd_holds(etcd: EtcdMember) -> None:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(connected(etcd.endpoints))
        first = await stack.enter_async_context(instance(3, client, client))
        await first.mirror.reached(await fill(client))
        second = await stack.enter_async_context(instance(4, client, client))
        await second.mirror.reached(await send(client, CATALOG.drop_alias(1, "a100", ts(3))))
        await first.mirror.reached(second.mirror.revision)
        found = await check(etcd.client_endpoint, "rootcoord", "-o", "json")
        table = await check(etcd.client_endpoint)
    assert (found.code, found.err) == (EQUAL, "")
    assert [(each["server_id"], each["mirror"]) for each in found.members] == [
        (3, "equal"),
        (4, "equal"),
    ]
    assert found.members[0]["digest"] == found.members[1]["digest"]
    assert found.members[0]["keys"] == found.members[1]["keys"] > 350
    assert table.code == EQUAL
    assert "all 2 members hold the same" in table.out


async def test_an_image_that_was_changed_is_found_and_the_line_named(etcd: EtcdMember) -> None:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(connected(etcd.endpoints))
        well = await stack.enter_async_context(instance(3, client, client))
        ill = await stack.enter_async_context(instance(4, client, client))
        revision = await fill(client)
        await well.mirror.reached(revision)
        await ill.mirror.reached(revision)
        entry = ill.mirror.image.state._entries[120]
        entry._partitions = (replace(entry._partitions[0], created_at=ts(9)),)
        found = await check(etcd.client_endpoint, "rootcoord", "-o", "json")
        table = await check(etcd.client_endpoint)
    assert found.code == DIFFERENT
    assert [each["mirror"] for each in found.members] == ["equal", "different"]
    (line,) = found.members[1]["only_in_memory"]
    assert line.startswith("PartitionPut(partition=Partition(id=1200,")
    assert str(ts(9)) in line
    (line,) = found.members[1]["only_in_etcd"]
    assert str(ts(1)) in line
    assert table.code == DIFFERENT
    assert "only in memory: PartitionPut(partition=Partition(id=1200," in table.out
    assert f"the members differ from each other at revision {revision}" in table.out


@pytest.mark.parametrize("deleted", [False, True])
async def test_a_lost_event_is_found(etcd: EtcdMember, deleted: bool) -> None:
    key = CATALOG.snapshots.plain(b"root-coord/database/aliases/1/a110")
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(connected(etcd.endpoints))
        lost: list[Event] = []

        def loses(event: Event) -> bool:
            lost.extend([event] * (event.kv.key == key))
            return event.kv.key == key

        revision = await fill(client) if deleted else 0
        deaf = cast("Etcd", Deaf(client, loses))
        ill = await stack.enter_async_context(instance(3, deaf, client))
        await ill.mirror.reached(revision)
        if deleted:
            revision = (await client.txn(Txn((), (delete(key),)))).revision
        else:
            revision = await fill(client)
        await ill.mirror.reached(revision)
        found = await check(etcd.client_endpoint, "rootcoord", "-o", "json")
    assert len(lost) == 1
    assert found.code == DIFFERENT
    (member,) = found.members
    lines = member["only_in_memory" if deleted else "only_in_etcd"]
    assert any("AliasPut(alias=Alias(name='a110'" in line for line in lines), lines


async def test_an_image_that_contradicts_itself_is_found(etcd: EtcdMember) -> None:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(connected(etcd.endpoints))
        ill = await stack.enter_async_context(instance(3, client, client))
        await ill.mirror.reached(await fill(client))
        ill.mirror.image.state._database_names.clear()
        found = await check(etcd.client_endpoint, "rootcoord", "-o", "json")
    assert found.code == DIFFERENT
    (member,) = found.members
    assert "it contradicts itself: databases are " in member["why"]
    assert len(member["wrong"]) == 1


@pytest.mark.parametrize("format_", ["", "records.0.1"])
async def test_a_member_of_another_version_is_not_called_different(
    etcd: EtcdMember, monkeypatch: pytest.MonkeyPatch, format_: str
) -> None:
    """The first form of the digest did not tell its name."""
    facts = MirrorReport._facts

    def of_another_version(self: MirrorReport, digest: Digest) -> dict[str, object]:
        told = {**facts(self, digest), "format": format_, "digest": "0" * 64}
        return told if format_ else {name: each for name, each in told.items() if name != "format"}

    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(connected(etcd.endpoints))
        member = await stack.enter_async_context(instance(3, client, client))
        await member.mirror.reached(await fill(client))
        monkeypatch.setattr(MirrorReport, "_facts", of_another_version)
        found = await check(etcd.client_endpoint, "-o", "json")
    assert found.code == NOT_ASKED
    (told,) = found.members
    assert told["mirror"] == "other version"
    assert told["why"].startswith("it is of another version: ")


class Forgetful:
    """An etcd that writes and compacts before each of the first `times` readings at a revision."""

    def __init__(self, etcd: EtcdClient, ctl: Callable[..., Awaitable[str]], times: int) -> None:
        self._etcd, self._ctl, self.left = etcd, ctl, times
        self.replaced = etcd.replaced

    async def get(self, key: bytes) -> GetResult:
        return await self._etcd.get(key)

    async def pages(
        self, start: bytes, end: bytes, *, revision: int
    ) -> AsyncGenerator[RangeResult, None]:
        if self.left:
            self.left -= 1
            written = await self._etcd.txn(Txn((), (put(CATALOG.prefix + b"x", b""),)))
            await self._ctl("compaction", str(written.revision))
        async for page in self._etcd.pages(start, end, revision=revision):
            yield page


@pytest.mark.parametrize(("times", "finding"), [(3, Finding.EQUAL), (99, Finding.NOT_ASKED)])
async def test_asked_again_when_the_revision_is_compacted(
    etcd: EtcdMember, times: int, finding: Finding
) -> None:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(connected(etcd.endpoints))
        asked = await stack.enter_async_context(instance(3, client, client))
        await asked.mirror.reached(await fill(client))
        forgetful = Forgetful(client, etcd.ctl, times)
        judge = Judge(cast("Etcd", forgetful), mirrored(META_ROOT))
        verdict = await judge.judge(Member("3", "standby", asked.management))
    assert verdict.finding is finding, verdict
    assert forgetful.left == (0 if times == 3 else 94)


async def test_who_cannot_be_asked_is_named(etcd: EtcdMember) -> None:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(connected(etcd.endpoints))
        nobody = await check(etcd.client_endpoint)
        member = await stack.enter_async_context(instance(3, client, client))
        await member.mirror.reached(await fill(client))
        closed = f"127.0.0.1:{free_ports(1)[0]}"
        await tell(client, 4, closed)
        await tell(client, 5, "")
        await client.txn(Txn((), (put(KEYS.status(6), b"{junk"),)))
        member.mirror.synced = False
        unsynced = await check(etcd.client_endpoint, "-o", "json")
        member.mirror.synced = True
        found = await check(etcd.client_endpoint, "-o", "json")
    assert nobody.code == unsynced.code == found.code == NOT_ASKED
    assert "no instance of ours" in nobody.out
    assert "503" in unsynced.members[0]["why"]
    assert [each["mirror"] for each in found.members] == ["equal", *["not asked"] * 3]
    assert closed in found.members[1]["why"]


async def test_no_etcd_and_mistakes() -> None:
    endpoint = f"127.0.0.1:{free_ports(1)[0]}"
    unreachable = await check(endpoint)
    assert unreachable.code == NO_ETCD
    assert endpoint in unreachable.err
    assert (await check(endpoint, "datacoord")).code == MISTAKE
    assert (await check(endpoint, "nobody")).code == MISTAKE
    assert (await check(endpoint, "--config", "/nowhere.yaml")).code == MISTAKE
