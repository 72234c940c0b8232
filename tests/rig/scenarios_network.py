"""S6 to S9: edges between the active, the standby and etcd are cut."""

from __future__ import annotations

from collections.abc import Callable

from milvus_coord.ha.pair.takeover import Cause
from tests.rig.coordinator import Coordinator
from tests.rig.edges import Edge
from tests.rig.registry import scenario
from tests.rig.rig import Rig


@scenario("S6", "the active is cut off from etcd alone")
async def active_without_etcd(rig: Rig) -> None:
    await _replaced_while_cut(rig, lambda it: it.etcd, Cause.UNPROVEN)


@scenario("S7", "the standby cannot reach the active, both reach etcd")
async def standby_without_active(rig: Rig) -> None:
    active, standby = await rig.pair()
    answers = f"answer-{rig.server_id(standby)}"
    async with rig.no_failover():
        for way in (active.peer.cut, active.peer.refuse):
            since = (await rig.store.caught_up()).revision
            await way()
            await rig.quiet(rig.pick(3, 300))
            await active.peer.heal()
            await rig.leads(active)
            history = await rig.store.caught_up()
            asked = [one for one in history.changes if one.revision > since]
            assert any(one.key.endswith(answers) for one in asked), "nobody was suspected"
    rig.expect(Cause.FIRST)


@scenario("S8", "the standby is cut off from etcd beyond its lease", ttl_s=2, serve_lease_ms=500)
async def standby_without_etcd(rig: Rig) -> None:
    active, standby = await rig.pair()
    former = rig.server_id(standby)
    async with rig.no_failover():
        await standby.etcd.cut()
        await rig.deleted(f"session/rootcoord-{former}")
        await standby.etcd.heal()
        await rig.ready(standby)
    with rig.fault("kill"):
        active.kill()
        await rig.leads(standby)
    rig.expect(Cause.FIRST, Cause.PROCESS_DIED)


@scenario("S9", "the active's host is cut off from everything")
async def active_alone(rig: Rig) -> None:
    await _replaced_while_cut(rig, lambda it: it.everything, Cause.SILENT)


@scenario("S9-clients", "the active reaches its clients alone, neither etcd nor the standby")
async def active_with_clients(rig: Rig) -> None:
    await _replaced_while_cut(rig, lambda it: it.peer.and_(it.etcd), Cause.SILENT)


async def _replaced_while_cut(
    rig: Rig, edge_of: Callable[[Coordinator], Edge], cause: Cause
) -> None:
    """Asked by all clients that reach it the active must refuse; healed it stands by."""
    active, standby = await rig.pair()
    edge = edge_of(active)
    with rig.fault("cut"):
        await edge.cut()
        await rig.leads(standby)
    await rig.quiet(rig.pick(1, 60))
    await edge.heal()
    await rig.ready(active)
    assert active.exit_code is None, "it was to be a standby without a restart"
    rig.expect(Cause.FIRST, cause)
