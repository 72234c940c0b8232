"""S28: what a deposed active had on its way to etcd arrives long after it was replaced."""

from __future__ import annotations

from milvus_coord.ha.pair.takeover import Cause
from tests.rig.checkers import Placed
from tests.rig.extras import changes_hands, holding, until
from tests.rig.registry import scenario
from tests.rig.rig import Rig


@scenario("S28", "writes of a deposed active are held back, then let go")
async def held_writes(rig: Rig) -> None:
    active, standby = await rig.pair()
    assert rig.statements is not None
    before = holding(rig)
    with rig.fault("hold") as fault:
        await active.etcd.hold(up=True)
        await changes_hands(rig, before)
        # Later it resets the connections on which it gets no answer, and what they held is lost.
        assert await active.etcd.held_bytes() > 0, "nothing was held back"
        await rig.leads(standby)
    await rig.quiet(rig.pick(0, 5))
    revision = (await rig.store.caught_up()).revision
    await active.etcd.heal()

    async def released() -> bool:
        return await active.etcd.held_bytes() == 0

    await until(released, "all that was held back has arrived")
    await rig.ready(active)
    assert active.exit_code is None, "it was to be a standby without a restart"
    late = [
        write
        for write in rig.statements.registers.writes
        if write.address == active.address
        and write.sent_s > fault.began_s
        and write.acked_s is None
    ]
    assert late, "no write was on its way"
    placed = Placed(await rig.store.caught_up()).revision
    applied = [write for write in late if placed.get(write.value, 0) > revision]
    assert not applied, f"the fence let writes of a deposed leader pass: {applied}"
    rig.expect(Cause.FIRST, Cause.UNPROVEN)
