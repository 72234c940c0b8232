"""S17, S19, S22: etcd is full, is slow, or loses leases and keys by somebody's hand."""

from __future__ import annotations

from milvus_coord.etcd.errors import EtcdError
from milvus_coord.etcd.txn import Txn, delete, put
from milvus_coord.ha.pair.takeover import Cause
from testing.etcd import EtcdOptions
from tests.rig.coordinator import Coordinator
from tests.rig.extras import KEYS, PATIENT, changes_hands, holding, spent
from tests.rig.registry import scenario
from tests.rig.rig import Rig

_QUOTA_BYTES = 6 << 20
_CHUNK_BYTES = 400_000


async def fill(rig: Rig) -> None:
    """Put junk until etcd takes no more."""
    for number in range(10 * _QUOTA_BYTES // _CHUNK_BYTES):
        junk = put(f"junk/{number}".encode(), bytes(_CHUNK_BYTES))
        try:
            await rig.client.txn(Txn((), (junk,)), timeout_s=5.0)
        except EtcdError:
            break
    assert "NOSPACE" in await rig.etcd.ctl("alarm", "list"), "etcd is not full"


async def make_room(rig: Rig) -> None:
    """As an operator does it: delete, compact, defragment, disarm."""
    await rig.etcd.ctl("del", "--prefix", "junk/")
    await rig.compact()
    await rig.etcd.ctl("defrag")
    await rig.etcd.ctl("alarm", "disarm")


@scenario("S17", "etcd is full, and the active dies before there is room again", env=PATIENT)
async def nospace(rig: Rig) -> None:
    rig.etcd.kill()
    for member in rig.etcd.members:
        member.options = EtcdOptions(extra_args=(f"--quota-backend-bytes={_QUOTA_BYTES}",))
    await rig.etcd.start()
    active, standby = await rig.pair()
    async with rig.no_failover():
        await fill(rig)
        await rig.quiet(rig.pick(2, 30))
        assert (await active.http("/livez"))[0] == 200
    since = (await rig.store.caught_up()).revision
    active.kill()
    await rig.quiet(rig.pick(2, 30))
    assert standby.running, "it was to wait for room"
    assert await spent(rig, since) == 0, "somebody won in an etcd that is full"
    with rig.fault("room again"):
        await make_room(rig)
        await rig.leads(standby)
    await rig.restart(active)
    rig.expect(Cause.FIRST, Cause.PROCESS_DIED)


async def revoke_lease(rig: Rig, victim: Coordinator) -> None:
    found = (await rig.client.get(KEYS.instance(rig.server_id(victim)))).kv
    assert found is not None, "it has no session"
    await rig.client.lease_revoke(found.lease)


async def _again(rig: Rig) -> tuple[Coordinator, Coordinator]:
    """(the active, the standby) once both are well."""
    leader = await rig.one_leads()
    await rig.leads(leader)
    (other,) = [each for each in rig.coordinators if each is not leader]
    await rig.ready(other)
    return leader, other


@scenario("S19", "leases revoked, active key deleted, overwritten with junk, on our lease too")
async def hands(rig: Rig) -> None:
    active, standby = await rig.pair()
    async with rig.no_failover():
        former = rig.server_id(standby)
        await revoke_lease(rig, standby)
        await rig.deleted(f"session/rootcoord-{former}")
        await standby.wait_line("session lost, registering again")
        await rig.ready(standby)
    for word in ("lease", "delete", "junk", "junk on its lease"):
        before, since = holding(rig), active.log_size()
        with rig.fault(word):
            if word == "lease":
                await revoke_lease(rig, active)
            elif word == "delete":
                await rig.client.txn(Txn((), (delete(KEYS.active),)))
            else:
                lease = before.lease if word == "junk on its lease" else 0
                await rig.client.txn(Txn((), (put(KEYS.active, b"{junk", lease=lease),)))
            await active.wait_line("stepping down", after=since)
            await changes_hands(rig, before)
            active, standby = await _again(rig)


@scenario("S22", "etcd stalls for most of the time")
async def slow_etcd(rig: Rig) -> None:
    """No member answers for 300 to 800 ms, then all of them do for half as long."""
    active, _ = await rig.pair()
    async with rig.no_failover():
        for _ in range(rig.pick(10, 100)):
            stall_s = rig.random.uniform(0.3, 0.8)
            for member in rig.etcd.members:
                member.pause()
            await rig.quiet(stall_s)
            for member in rig.etcd.members:
                member.resume()
            await rig.quiet(stall_s / 2)
        await rig.leads(active)
    rig.expect(Cause.FIRST)
