"""S31: somebody pauses the pair."""

from __future__ import annotations

from milvus_coord.etcd.txn import Txn, delete, put
from milvus_coord.ha.pair.operator_records import Pause
from milvus_coord.ha.pair.takeover import Cause
from tests.rig.extras import KEYS, PATIENT, spent
from tests.rig.registry import scenario
from tests.rig.rig import Rig


@scenario("S31", "the active dies while the pair is paused", etcd_members=1, env=PATIENT)
async def paused(rig: Rig) -> None:
    active, standby = await rig.pair()
    since = standby.log_size()
    await rig.client.txn(Txn((), (put(KEYS.paused, Pause("the rig", 0, "a test").encode()),)))
    await standby.wait_line("paused: no early replacement", after=since)
    revision = (await rig.store.caught_up()).revision
    active.kill()
    await rig.quiet(rig.pick(3, 45))
    assert await spent(rig, revision) == 0, "there was a takeover while paused"
    assert (await standby.http("/livez"))[0] == 200
    with rig.fault("resume"):
        await rig.client.txn(Txn((), (delete(KEYS.paused),)))
        await rig.leads(standby)
    await rig.restart(active)
    rig.expect(Cause.FIRST, Cause.PROCESS_DIED)
