"""S26, S27: the active crashes at every place that has a name, one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from testing.ddl_callers import FIELD_IDS, collection
from testing.ddl_client import RootClient, active_in
from testing.ddl_impatient import impatient
from testing.messages import message_class
from tests.rig.coordinator import Coordinator
from tests.rig.extras import PATIENT, holding
from tests.rig.registry import scenario
from tests.rig.rig import Rig

ACTIVATION: Final[Mapping[str, tuple[str, ...]]] = {
    "S26-claim": ("after_claim", "after_listen", "after_recover_bounds"),
    "S26-recover": ("after_catch_up", "after_defaults", "before_serve"),
}
STATEMENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "S27-create": ("ddl_create_announced", "ddl_create_half", "ddl_create_watched"),
    "S27-change": ("ddl_alter_half", "ddl_rename_half", "ddl_partition_half"),
    "S27-drop": ("ddl_drop_half", "ddl_drop_done", "ddl_cleanup_half"),
}
_KILLED: Final = -9
_REACHED_S: Final = 20.0
_WIDE: Final = "wide"
_INT64: Final = 5


async def activations_cut(rig: Rig, points: tuple[str, ...]) -> None:
    """One that takes over crashes at each point in turn; another one leads after it."""
    helper, victim = await rig.pair()
    victim.kill()
    for point in points:
        with rig.fault(point):
            helper.kill()
            await crash(rig, victim, point)
            helper.start()
            await rig.leads(helper)
    rig.failpoints(victim, "")
    await rig.restart(victim)


async def statements_cut(rig: Rig, points: tuple[str, ...]) -> None:
    """Who leads crashes at the first point, who comes next at the second, and so on.

    Each of them finds what the one before it has left, and nobody who could help out. What is
    dropped goes within seconds here, so that its cleanup is cut too.
    """
    for each in rig.coordinators:
        impatient(each)
    crashed, heir = await rig.pair()
    heir.kill()
    crashed.kill()
    for point in points:
        with rig.fault(point):
            await crash(rig, heir, point)
        crashed, heir = heir, crashed
    with rig.fault("the last one"):
        rig.failpoints(heir, "")
        heir.start()
        await rig.leads(heir)
    rig.failpoints(crashed, "")
    await rig.restart(crashed)


async def crash(rig: Rig, heir: Coordinator, point: str) -> None:
    """Start it, let it win the active key, and let it die at the point."""
    before, since = holding(rig), heir.log_size()
    rig.failpoints(heir, f"{point}=crash")
    heir.start()
    code = await heir.wait_exit(_REACHED_S)
    heir.check(code == _KILLED, "ended, but was not to crash")
    assert heir.lines(f"failpoint fires.*{point}", after=since)
    assert holding(rig).epoch > before.epoch, "it never led"


def register(
    sets: Mapping[str, tuple[str, ...]], title: str, play: Callable[..., Awaitable[None]]
) -> None:
    """One scenario for each set of points."""
    for name, points in sets.items():

        async def run(rig: Rig, points: tuple[str, ...] = points) -> None:
            await play(rig, points)

        words = f"{title}: {', '.join(points)}"
        scenario(name, words, etcd_members=1, env=PATIENT)(run)


register(ACTIVATION, "crashes between winning and serving", activations_cut)
register(STATEMENTS, "crashes in the middle of statements", statements_cut)


@scenario(
    "S26-serve",
    "crashes just after serving, and just before a replacement",
    etcd_members=1,
    env=PATIENT,
)
async def around_serving(rig: Rig) -> None:
    active, standby = await rig.pair()
    standby.kill()
    rig.failpoints(standby, "before_replace=crash")
    await rig.restart(standby)
    async with _unmoved(rig):
        active.pause()
        assert await standby.wait_exit(_REACHED_S) == _KILLED
        active.resume()
        with rig.fault("before_replace"):
            await rig.leads(active)
    active.kill()
    with rig.fault("after_serve"):
        await crash(rig, standby, "after_serve")
        active.start()
        await rig.leads(active)
    rig.failpoints(standby, "")
    await rig.restart(standby)


@scenario(
    "S26-over",
    "crashes before and after a hand-over",
    etcd_members=1,
    env=PATIENT,
)
async def around_handing_over(rig: Rig) -> None:
    active, standby = await rig.pair()
    for point in ("before_hand_over", "after_hand_over"):
        standby.kill()
        rig.failpoints(standby, f"{point}=crash")
        await rig.restart(standby)
        active.kill()
        await rig.leads(standby)
        await rig.restart(active)
        with rig.fault(point):
            standby.terminate()
            await rig.leads(active)
        assert await standby.wait_exit(_REACHED_S) == _KILLED
    rig.failpoints(standby, "")
    await rig.restart(standby)


@scenario("S26-release", "a crash before the active key is released", etcd_members=1, env=PATIENT)
async def before_release(rig: Rig) -> None:
    """There is nobody to hand over to, then."""
    active, standby = await rig.pair()
    standby.kill()
    rig.failpoints(standby, "before_release=crash")
    active.kill()
    standby.start()
    await rig.leads(standby)
    with rig.fault("before_release"):
        standby.terminate()
        assert await standby.wait_exit(_REACHED_S) == _KILLED
        active.start()
        await rig.leads(active)
    rig.failpoints(standby, "")
    await rig.restart(standby)


@asynccontextmanager
async def _unmoved(rig: Rig) -> AsyncIterator[None]:
    """The active key stays as it is inside; processes may die."""
    before = holding(rig)
    yield
    await rig.store.caught_up()
    assert holding(rig).epoch == before.epoch, "a needless failover"


@scenario(
    "S27-parts", "a crash between the transactions of one change", etcd_members=1, env=PATIENT
)
async def between_parts(rig: Rig) -> None:
    """So many fields do not fit into one transaction; the one that asked for them asks again."""
    for each in rig.coordinators:
        impatient(each)
    first, second = await rig.pair()
    second.kill()
    rig.failpoints(second, "parts_between=crash")
    await rig.restart(second)
    client = RootClient(active_in(rig.client))
    try:
        first.kill()
        await rig.leads(second)
        asking = asyncio.create_task(client.persist("CreateCollection", **wide()), name="wide")
        with rig.fault("parts_between"):
            assert await second.wait_exit(_REACHED_S) == _KILLED
            first.start()
            await rig.leads(first)
        created = await asking
        assert created.reply is not None
        assert created.reply.error_code == 0, created.detail
        found = await client.ask("DescribeCollection", collection_name=_WIDE)
        assert len(found.schema.fields) == len(FIELD_IDS) + len(_wide_numbers())
        await client.ask("DropCollection", collection_name=_WIDE)
    finally:
        client.close()
    rig.failpoints(second, "")
    await rig.restart(second)


def _wide_numbers() -> range:
    return range(200, 260)


def wide() -> dict[str, Any]:
    """A CreateCollection with more fields than one transaction holds."""
    fields = collection(_WIDE)
    schema: Any = message_class("schema.CollectionSchema").FromString(fields["schema"])
    for number in _wide_numbers():
        schema.fields.add(fieldID=number, name=f"f{number}", data_type=_INT64)
    return {**fields, "schema": schema.SerializeToString()}
