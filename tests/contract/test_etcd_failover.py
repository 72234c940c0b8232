"""The client while etcd restarts, dies, hangs and comes back."""

from __future__ import annotations

import asyncio
import shutil
import time
from contextlib import aclosing
from typing import Any

import pytest

from milvus_coord.etcd.client.client import EtcdClient
from milvus_coord.etcd.client.watchstream import WatchStream
from milvus_coord.etcd.errors import ClientClosed, Unavailable
from milvus_coord.etcd.settings import EtcdSettings
from milvus_coord.etcd.txn import Txn, put
from milvus_coord.etcd.values import Batch, Listing
from milvus_coord.runtime.clock import SystemClock
from testing.etcd import EtcdCluster, EtcdMember, EtcdOptions
from testing.following import following
from testing.ports import free_ports
from tests.conftest import StartEtcd
from tests.contract.etcd_helpers import SOON_S, Writer, connected, kill_alone, numbers, write

pytestmark = pytest.mark.etcd

QUICK = EtcdOptions(heartbeat_ms=30, election_ms=300)


async def killed(etcd: EtcdMember, client: EtcdClient) -> None:
    """Kill it and let the client see that: a write at that very moment is lost in the socket."""
    await kill_alone(etcd, client)
    with pytest.raises(Unavailable, match="get of k"):
        await client.get(b"k", timeout_s=0.3)


async def test_a_watch_outlives_restarts_of_etcd(start_etcd: StartEtcd) -> None:
    (etcd,) = (await start_etcd(1, QUICK)).members
    async with (
        connected(etcd.endpoints) as client,
        aclosing(client.watch(b"n", start_revision=1)) as watch,
    ):
        for number in range(1, 7):
            await write(client, b"n", b"%d" % number)
            if number % 2:
                await etcd.restart()
            else:
                await kill_alone(etcd, client)
                await etcd.start()
        assert await numbers(watch, 6) == [1, 2, 3, 4, 5, 6]


async def test_a_waiting_watch_goes_on_by_itself(etcd: EtcdMember) -> None:
    async with (
        connected(etcd.endpoints) as client,
        aclosing(client.watch(b"n", start_revision=1)) as watch,
        asyncio.TaskGroup() as tasks,
    ):
        waiting = tasks.create_task(numbers(watch, 2), name="waiting")
        await write(client, b"n", b"1")
        await kill_alone(etcd, client)
        await etcd.start()
        await write(client, b"n", b"2")
        assert await waiting == [1, 2]


async def test_nothing_is_lost_or_repeated_while_members_die_in_turn(
    start_etcd: StartEtcd,
) -> None:
    etcd3 = await start_etcd(3, QUICK)
    async with (
        connected(etcd3.endpoints) as client,
        aclosing(client.watch(b"n", start_revision=1)) as watch,
        asyncio.TaskGroup() as tasks,
    ):
        writer = Writer(client, b"n")
        writing = tasks.create_task(writer.run(), name="writing")
        for _ in range(3):
            await writer.reached(50)
            victim = etcd3.at(client.endpoint)
            victim.kill()
            await writer.reached(50)
            await victim.start()
        await writer.reached(10)
        writing.cancel()
        seen = await numbers(watch, writer.written)
        # One more may be there: the write that was cancelled.
        assert seen == list(range(1, len(seen) + 1))
        assert len(seen) - writer.written in {0, 1}


async def test_reads_leave_a_hanging_member(etcd3: EtcdCluster) -> None:
    settings = EtcdSettings(etcd3.endpoints, attempt_timeout_s=0.5)
    async with connected(etcd3.endpoints, settings) as client:
        await write(client, b"k", b"1")
        hanging = etcd3.at(client.endpoint)
        hanging.pause()
        try:
            result = await client.get(b"k", timeout_s=SOON_S)
            assert result.kv is not None
            assert etcd3.at(client.endpoint) is not hanging
        finally:
            hanging.resume()


async def test_a_write_to_a_hanging_member_has_an_unknown_outcome(etcd3: EtcdCluster) -> None:
    hanging, sound = await etcd3.followers()
    async with connected((hanging.client_endpoint, sound.client_endpoint)) as client:
        await write(client, b"k", b"1")
        hanging.pause()
        try:
            with pytest.raises(Unavailable, match="may have been applied") as caught:
                await client.txn(Txn((), (put(b"k", b"2"),)), timeout_s=0.5)
            assert caught.value.sent
            assert hanging.client_endpoint in str(caught.value)
            assert client.endpoint == sound.client_endpoint
            await write(client, b"k", b"3")
        finally:
            hanging.resume()


async def test_a_silent_watch_leaves_a_hanging_member(etcd3: EtcdCluster) -> None:
    hanging, sound = await etcd3.followers()
    async with (
        connected((hanging.client_endpoint, sound.client_endpoint)) as client,
        connected(sound.endpoints) as other,
        aclosing(client.watch(b"n", start_revision=1, idle_check_s=0.3)) as watch,
        asyncio.TaskGroup() as tasks,
    ):
        await write(client, b"n", b"1")
        assert await numbers(watch, 1) == [1]
        waiting = tasks.create_task(numbers(watch, 2), name="waiting")
        hanging.pause()
        began = time.monotonic()
        try:
            await write(other, b"n", b"2")
            assert await waiting == [2]
            assert time.monotonic() - began < 4
            assert client.endpoint == sound.client_endpoint
        finally:
            hanging.resume()


async def test_an_idle_watch_is_not_disturbed_by_its_pulse(
    etcd: EtcdMember, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests: list[str] = []
    third_pulse = asyncio.Event()
    send = WatchStream._write

    async def noted(self: WatchStream, request: Any) -> None:
        requests.append(request.WhichOneof("request_union"))
        await send(self, request)
        if requests.count("progress_request") == 3:
            third_pulse.set()

    monkeypatch.setattr(WatchStream, "_write", noted)
    async with (
        connected(etcd.endpoints) as client,
        aclosing(client.watch(b"n", start_revision=1, idle_check_s=0.3)) as watch,
        asyncio.TaskGroup() as tasks,
    ):
        waiting = tasks.create_task(numbers(watch, 1), name="waiting")
        await write(client, b"other", b"1")
        await asyncio.wait_for(third_pulse.wait(), SOON_S)
        await write(client, b"n", b"1")
        assert await waiting == [1]
    assert requests.count("create_request") == 1


async def test_keepalives_go_round_the_members(etcd3: EtcdCluster) -> None:
    async with connected(etcd3.endpoints) as client:
        lease = await client.lease_grant(30)
        assert await client.keep_alive_once(lease.id, timeout_s=SOON_S) == 30
        hanging = etcd3.members[0]
        hanging.pause()
        try:
            with pytest.raises(Unavailable):
                await client.keep_alive_once(lease.id, timeout_s=0.3)
            deadline = time.monotonic() + SOON_S
            while True:  # the hanging one may have led: then the others elect first
                try:
                    assert await client.keep_alive_once(lease.id, timeout_s=1.0) == 30
                    break
                except Unavailable:
                    assert time.monotonic() < deadline
        finally:
            hanging.resume()


async def test_unreachable_endpoints_in_front_do_no_harm(etcd: EtcdMember) -> None:
    dead = tuple(f"127.0.0.1:{port}" for port in free_ports(2))
    async with connected((*dead, *etcd.endpoints)) as client:
        assert client.endpoint == etcd.client_endpoint
        await write(client, b"k", b"1")
        lease = await client.lease_grant(30)
        for _ in dead:
            with pytest.raises(Unavailable) as caught:
                await client.keep_alive_once(lease.id, timeout_s=2.0)
            assert not caught.value.sent
        assert await client.keep_alive_once(lease.id, timeout_s=2.0) == 30
        first, second, third = await client.status()
        assert "refused" in first.error
        assert "refused" in second.error
        assert third.is_leader


async def test_host_names_and_schemes(etcd: EtcdMember) -> None:
    for endpoint in (f"localhost:{etcd.client_port}", f"http://127.0.0.1:{etcd.client_port}"):
        async with connected((endpoint,)) as client:
            assert await write(client, b"k", b"1") > 1


async def test_an_unknown_host_is_named(etcd: EtcdMember) -> None:
    settings = EtcdSettings(("no-such-host.invalid:2379",), request_timeout_s=0.5)
    client = EtcdClient(settings, SystemClock())
    with pytest.raises(Unavailable, match=r"no-such-host\.invalid:2379"):
        await client.connect()
    await client.close()


async def test_nothing_listens(etcd: EtcdMember) -> None:
    async with connected(etcd.endpoints) as client:
        await killed(etcd, client)
        with pytest.raises(Unavailable, match=f"127.0.0.1:{etcd.client_port}") as caught:
            await client.txn(Txn((), (put(b"k", b"1"),)), timeout_s=0.3)
        assert not caught.value.sent
        with pytest.raises(Unavailable):
            await client.keep_alive_once(1, timeout_s=0.3)
        (status,) = await client.status()
        assert "refused" in status.error


async def test_a_write_that_waits_for_etcd_is_applied_once(etcd: EtcdMember) -> None:
    async with connected(etcd.endpoints) as client, asyncio.TaskGroup() as tasks:
        await write(client, b"k", b"1")
        await killed(etcd, client)
        writing = tasks.create_task(write(client, b"k", b"2"), name="writing")
        await etcd.start()
        await writing
        found = (await client.get(b"k")).kv
        assert found is not None
        assert (found.value, found.version) == (b"2", 2)


async def test_a_cluster_without_majority_refuses_in_time(etcd3: EtcdCluster) -> None:
    leader = await etcd3.leader()
    for follower in await etcd3.followers():
        follower.kill()
    async with connected((leader.client_endpoint,)) as client:
        began = time.monotonic()
        with pytest.raises(Unavailable):
            await client.get(b"k", timeout_s=4.0)
        with pytest.raises(Unavailable):
            await client.txn(Txn((), (put(b"k", b"1"),)), timeout_s=1.0)
        assert time.monotonic() - began < 6
        assert (await client.get(b"k", serializable=True)).kv is None
        (status,) = await client.status()
        assert (status.has_leader, status.is_leader, status.error) == (False, False, "")


async def test_follow_lists_anew_after_a_compaction_that_it_slept_through(
    etcd: EtcdMember,
) -> None:
    async with (
        connected(etcd.endpoints) as client,
        connected(etcd.endpoints) as other,
    ):
        for name in (b"f/stays", b"f/changes", b"f/goes"):
            await write(client, name, b"1")
        async with following(client, SystemClock(), b"f/") as news:
            assert isinstance(await asyncio.wait_for(news.get(), SOON_S), Listing)
            etcd.kill()
            with pytest.raises(TimeoutError):  # it notices, and can reach nothing
                await asyncio.wait_for(news.get(), 0.3)
            await client.close()
            await etcd.start()
            await write(other, b"f/changes", b"2")
            await write(other, b"f/new", b"1")
            await etcd.ctl("del", "f/goes")
            last = await write(other, b"elsewhere", b"1")
            await etcd.ctl("compact", str(last))
            await client.connect()
            listing = await asyncio.wait_for(news.get(), SOON_S)
            assert isinstance(listing, Listing)
            assert listing.revision == last
            assert {kv.key: kv.value for kv in listing.kvs} == {
                b"f/changes": b"2",
                b"f/new": b"1",
                b"f/stays": b"1",
            }
            await write(other, b"f/stays", b"2")
            live = await asyncio.wait_for(news.get(), SOON_S)
            assert isinstance(live, Batch)
            assert [event.kv.key for event in live.events] == [b"f/stays"]


async def test_an_etcd_restored_from_a_backup_is_read_again(etcd: EtcdMember) -> None:
    data, backup = etcd.directory / "data", etcd.directory / "backup"
    async with connected(etcd.endpoints) as client:
        for name in (b"f/a", b"f/b"):
            await write(client, name, b"1")
        await etcd.stop()
        await asyncio.to_thread(shutil.copytree, data, backup)
        await etcd.start()
        await write(client, b"f/a", b"2")
        last = await write(client, b"f/c", b"1")
        async with following(client, SystemClock(), b"f/") as news:
            listing = await asyncio.wait_for(news.get(), SOON_S)
            assert (listing.revision, isinstance(listing, Listing)) == (last, True)
            await etcd.stop()
            await asyncio.to_thread(shutil.rmtree, data)
            await asyncio.to_thread(shutil.move, backup, data)
            await etcd.start()
            listing = await asyncio.wait_for(news.get(), SOON_S)
            assert isinstance(listing, Listing)
            assert listing.revision == last - 2
            assert [(kv.key, kv.value) for kv in listing.kvs] == [(b"f/a", b"1"), (b"f/b", b"1")]


async def test_closing_ends_calls_and_watches_with_an_error_of_ours(etcd: EtcdMember) -> None:
    async with connected(etcd.endpoints) as client:
        etcd.pause()
        watch = client.watch(b"n", start_revision=1)
        calls = (client.get(b"k"), client.txn(Txn((), (put(b"k", b"1"),))), anext(watch))
        tasks = [asyncio.ensure_future(call) for call in calls]
        await asyncio.sleep(0.05)
        await client.close()
        results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), SOON_S)
        assert [type(result) for result in results] == [ClientClosed] * 3
        await watch.aclose()
        with pytest.raises(ClientClosed):
            await client.get(b"k")
        etcd.resume()


async def test_a_cancelled_call_is_cancelled(etcd: EtcdMember) -> None:
    async with connected(etcd.endpoints) as client:
        etcd.pause()
        task = asyncio.ensure_future(client.get(b"k"))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        etcd.resume()
        assert (await client.get(b"k")).kv is None


async def test_a_watch_that_is_cancelled_while_it_opens_opens_again(etcd: EtcdMember) -> None:
    async with (
        connected(etcd.endpoints) as client,
        aclosing(client.watch(b"n", start_revision=1, idle_check_s=0.1)) as watch,
    ):
        for turns in range(12):
            task = asyncio.ensure_future(anext(watch))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await write(client, b"n", b"1")
        assert await numbers(watch, 1) == [1]
