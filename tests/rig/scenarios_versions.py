"""S30: both processes are replaced, one by one; Go Milvus 2.2.16 before and between ours."""

from __future__ import annotations

import importlib.util
from typing import Final

from milvus_coord.ha.pair.takeover import Cause
from testing.go_milvus import GoMilvus, GoRole, Surroundings, Unavailable
from testing.kafka import KafkaBroker
from tests.rig.coordinator import Coordinator
from tests.rig.extras import PATIENT, changes_hands, holding, set_env, spent
from tests.rig.registry import scenario
from tests.rig.rig import Rig

_EXIT_S: Final = 40.0


async def replaced(rig: Rig, old: Coordinator) -> None:
    old.terminate()
    assert await old.wait_exit(_EXIT_S) == 0
    await rig.restart(old)


@scenario("S30", "both processes are replaced one by one, under load", etcd_members=1, env=PATIENT)
async def rolling(rig: Rig) -> None:
    active, standby = await rig.pair()
    assert rig.statements is not None
    causes = [Cause.FIRST]
    for _ in range(rig.pick(2, 20)):
        since = (await rig.store.caught_up()).revision
        await replaced(rig, standby)
        assert await spent(rig, since) == 0, "a needless failover"
        with rig.fault("hand over"):
            active.terminate()
            await rig.leads(standby)
        assert await active.wait_exit(_EXIT_S) == 0
        await rig.restart(active)
        causes.append(Cause.STOPPED)
        active, standby = standby, active
    assert rig.statements.callers.refusals == [], "users saw errors"
    rig.expect(*causes)


async def go_and_back(rig: Rig, milvus: GoMilvus) -> None:
    """The Go active dies, ours leads; then Go is given its place by SIGTERM, and gives it back."""
    broker = KafkaBroker(rig.folder / "kafka")
    ours, spare = rig.coordinators
    go: GoRole | None = None
    try:
        kafka = await broker.serve()
        (rig.folder / "storage").mkdir()
        around = Surroundings(
            rig.etcd.endpoints, kafka, rig.folder / "storage", session_ttl_s=rig.scenario.ttl_s
        )
        for each in rig.coordinators:
            set_env(each, without=("MQ_TYPE",), KAFKA_BROKER_LIST=kafka)
        go = GoRole(milvus, "rootcoord", around, folder=rig.folder / "go")
        go.start()
        await go.wait_active()
        ours.start()
        await ours.wait_standby()
        await rig.hammer.begin()
        rig.working.push_async_callback(rig.hammer.stop)
        with rig.fault("kill of Go"):
            go.kill()
            await rig.leads(ours)
        await rig.quiet(1)
        go.start()
        await go.wait_standby()
        before = holding(rig)
        ours.terminate()
        assert await ours.wait_exit(_EXIT_S) == 0
        assert (await changes_hands(rig, before)).server_id != before.server_id
        await go.wait_active()
        spare.start()
        await spare.wait_standby()
        with rig.fault("SIGTERM of Go"):
            go.terminate()
            await rig.leads(spare)
        await rig.quiet(1)
        await go.wait_exit(_EXIT_S)
    finally:
        if go is not None:
            go.kill()
        broker.kill()


def _register() -> None:
    """Only where Go Milvus and a stand-in for Kafka can be had."""
    if importlib.util.find_spec("confluent_kafka") is None:
        return
    try:
        milvus = GoMilvus.install()
    except Unavailable:
        return

    async def run(rig: Rig) -> None:
        await go_and_back(rig, milvus)

    scenario(
        "S30-go",
        "from Go Milvus 2.2.16 and back and forth",
        etcd_members=1,
        env=PATIENT,
        statements=False,
    )(run)


_register()
