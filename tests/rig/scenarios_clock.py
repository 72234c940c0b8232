"""S18: the wall clock of the active jumps and drifts, that of the standby is an hour behind.

To be played where there is a C compiler: a preloaded library turns the clock of one process.
"""

from __future__ import annotations

from milvus_coord.ha.pair.takeover import Cause
from testing.sightings import Method
from tests.rig.extras import PATIENT, until
from tests.rig.registry import scenario
from tests.rig.rig import Rig
from tests.rig.wrong_clock import WrongClock, can_compile, compile_library

_HOUR_S = 3600.0
_LOGICAL_BITS = 18


def newest_physical_s(rig: Rig) -> float:
    """Unix time in the newest timestamp that a client was given."""
    seen = rig.hammer.sightings().successes(Method.ALLOC_TIMESTAMP)
    return max((one.first >> _LOGICAL_BITS) / 1000 for one in seen)


async def wrong_clocks(rig: Rig) -> None:
    """Timestamps follow the clock forwards and never back; no lease is touched by it."""
    library = compile_library(rig.folder)
    clocks = [WrongClock(each, library) for each in rig.coordinators]
    active, standby = await rig.pair()
    before_s = newest_physical_s(rig)

    async def jumped() -> bool:
        return newest_physical_s(rig) > before_s + _HOUR_S / 2

    async with rig.no_failover():
        with rig.fault("an hour ahead"):
            clocks[0].ahead_s(_HOUR_S)
            await until(jumped, "timestamps follow the clock")
        with rig.fault("two hours back"):
            clocks[0].ahead_s(-_HOUR_S)
            await rig.leads(active)
        with rig.fault("drifting"):
            for step in range(rig.pick(10, 600)):
                clocks[0].ahead_s(-_HOUR_S + 0.05 * step)
                await rig.quiet(0.1)
            await rig.leads(active)
    clocks[1].ahead_s(-_HOUR_S)
    with rig.fault("kill"):
        active.kill()
        await rig.leads(standby)
    assert newest_physical_s(rig) > before_s + _HOUR_S / 2, "timestamps went back with the clock"
    await rig.restart(active)
    rig.expect(Cause.FIRST, Cause.PROCESS_DIED)


if can_compile():
    scenario(
        "S18", "the wall clocks of both jump by hours, and drift", etcd_members=1, env=PATIENT
    )(wrong_clocks)
