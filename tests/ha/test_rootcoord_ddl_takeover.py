"""The active rootcoord goes in the middle of statements: what was acknowledged is there, and whole.

Some creates hang at datacoord at that moment, so that there is something half done to clean up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from testing.ddl_callers import Callers, calling
from testing.ddl_client import Outcome
from testing.ddl_impatient import impatient
from testing.ddl_scene import Held, Scene, scene
from testing.ddl_stored import CREATED, CREATING, Stored
from testing.etcd import EtcdMember
from testing.mirror_check import check_mirrors
from testing.ours import OurRole
from tests.ha.conftest import Pair, StartRole, started_pair

STATEMENTS = 200


async def hold_creates(playing: Scene, callers: Callers, count: int) -> Held:
    """After many statements some creates hang: they are in etcd, but not complete."""
    await callers.more(STATEMENTS)
    held = await playing.hold_watches(count)
    stored = await Stored.read(playing.etcd)
    assert {stored.collections[id_].state for id_ in held.collection_ids} == {CREATING}
    return held


def check_rolled_back(held: Held, stored: Stored, successor: OurRole) -> None:
    assert held.collection_ids
    assert not stored.collections.keys() & set(held.collection_ids), "was not rolled back"
    assert len(successor.lines("collection rolled back")) >= len(held.collection_ids)


async def impatient_pair(make: StartRole, endpoints: Sequence[str]) -> Pair:
    """As `started_pair`; what is dropped goes from etcd within seconds."""
    active, standby = impatient(make(endpoints)), impatient(make(endpoints))
    active.start()
    await active.wait_active()
    standby.start()
    await standby.wait_standby()
    return active, standby


async def test_kill_9(etcd: EtcdMember, rootcoord: StartRole) -> None:
    async with scene(etcd.endpoints) as playing:
        active, standby = await impatient_pair(rootcoord, etcd.endpoints)
        async with calling(playing.client, stubborn=4, fickle=4) as callers:
            held = await hold_creates(playing, callers, 4)
            active.kill()
            held.release()
            await callers.more(100, by=standby.address)
        stored = await playing.verify(callers, standby.address, dropping=False)
        await check_mirrors(etcd.endpoints, standby)
    check_rolled_back(held, stored, standby)
    assert callers.refusals == []
    assert callers.abandoned >= 1, "nobody gave a statement up"


async def test_sigterm_lets_what_runs_end(etcd: EtcdMember, rootcoord: StartRole) -> None:
    """Callers get answers, or errors by which Go looks up who serves now: no others, no silence."""
    async with scene(etcd.endpoints) as playing:
        active, standby = await started_pair(rootcoord, etcd.endpoints, session_ttl_s=30)
        async with calling(playing.client, stubborn=8) as callers:
            held = await hold_creates(playing, callers, 2)
            active.terminate()
            await refused(active)
            assert active.running, "did not wait for the creates that hang"
            held.release()
            assert await active.wait_exit() == 0
            await callers.more(100, by=standby.address)
        stored = await playing.verify(callers, standby.address)
        await check_mirrors(etcd.endpoints, standby)
    assert {stored.collections[id_].state for id_ in held.collection_ids} == {CREATED}
    names = {stored.collections[id_].schema.name for id_ in held.collection_ids}
    created = [
        one for one in callers.done if one.rpc == "CreateCollection" and {*one.book.names} & names
    ]
    assert [(one.by, len(one.tries)) for one in created] == [(active.address, 1)] * len(names)
    assert callers.refusals == []
    assert Outcome.BROKEN not in callers.tries
    assert Outcome.TIMEOUT not in callers.tries


async def refused(role: OurRole) -> None:
    """Until nobody takes connections at its address any more."""
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", role.port)
                writer.close()
            except ConnectionRefusedError:
                return
            except ConnectionResetError:
                pass  # closed before it took this one
            await asyncio.sleep(0.005)


async def test_frozen_beyond_its_ttl_changes_nothing_when_it_wakes(
    etcd: EtcdMember, rootcoord: StartRole
) -> None:
    async with scene(etcd.endpoints) as playing:
        active, standby = await started_pair(rootcoord, etcd.endpoints)
        async with calling(playing.client, stubborn=4, fickle=4) as callers:
            held = await hold_creates(playing, callers, 4)
            active.pause()
            await callers.more(100, by=standby.address)
        quiet = await playing.verify(callers, standby.address)
        check_rolled_back(held, quiet, standby)
        held.release()
        frozen_at = active.log_size()
        active.resume()
        await active.wait_line("stepping down", after=frozen_at)
        await active.wait_line("Service registered successfully", after=frozen_at)
        await active.wait_line("enter STANDBY mode", after=frozen_at)
        late = [one for one in playing.client.late if one.name in held.names]
        assert len(late) >= len(held.names)
        assert all(one.outcome is not Outcome.OK for one in late), late
        callers.take_late(playing.client.late)
        woken = await playing.verify(callers, standby.address)
        assert woken.last_written == quiet.last_written
        await check_mirrors(etcd.endpoints, active, standby)
        standby.terminate()
        await active.wait_active()
        await playing.verify(callers, active.address)
    assert callers.refusals == []
