"""What real processes hold in memory is what etcd holds, after all that they went through."""

from __future__ import annotations

import pytest

from milvus_coord.cli.mirror_verdict import Finding, Verdict
from testing.ddl_callers import calling, collection
from testing.ddl_scene import scene
from testing.etcd import EtcdMember
from testing.mirror_check import check_mirrors, verdicts_on
from testing.mirror_faulty import faulty
from tests.ha.conftest import StartRole, started_pair

STATEMENTS = 170
TAKEOVERS = 3


@pytest.mark.timeout(180)
async def test_after_a_thousand_statements_and_many_takeovers(
    etcd: EtcdMember, rootcoord: StartRole
) -> None:
    async with scene(etcd.endpoints) as playing:
        active, standby = await started_pair(rootcoord, etcd.endpoints)
        async with calling(playing.client, stubborn=12, fickle=4) as callers:
            for turn in range(TAKEOVERS):
                await callers.more(STATEMENTS)
                active.kill() if turn % 2 else active.terminate()
                await callers.more(STATEMENTS, by=standby.address)
                await active.wait_exit()
                await check_mirrors(etcd.endpoints, standby)  # under way
                active.start()
                await active.wait_standby()
                active, standby = standby, active
        await playing.verify(callers, active.address)
        await check_mirrors(etcd.endpoints, active, standby)
    assert len(callers.done) >= 2 * TAKEOVERS * STATEMENTS


@pytest.mark.parametrize("fault", ["lose", "spoil"])
async def test_a_mirror_gone_wrong_is_found(
    etcd: EtcdMember, rootcoord: StartRole, fault: str
) -> None:
    async with scene(etcd.endpoints) as playing:
        active, standby = rootcoord(etcd.endpoints), faulty(rootcoord(etcd.endpoints))
        active.start()
        await active.wait_active()
        standby.start()
        await standby.wait_standby()
        await playing.client.ask("CreateCollection", **collection("c"))
        await playing.client.ask("CreateAlias", collection_name="c", alias="well")
        await check_mirrors(etcd.endpoints, active, standby)
        await playing.client.ask("CreateAlias", collection_name="c", alias=fault)
        await playing.client.ask("CreateAlias", collection_name="c", alias="after")
        well, ill = await verdicts_on(etcd.endpoints, (active, standby))
        assert well.finding is Finding.EQUAL
        assert ill.finding is Finding.DIFFERENT
        assert _names(ill, fault), ill
        with pytest.raises(AssertionError, match="DIFFERENT"):
            await check_mirrors(etcd.endpoints, active, standby)


def _names(ill: Verdict, fault: str) -> bool:
    """Whether the lines say what is wrong."""
    if fault == "lose":
        return any("'lose'" in line for line in ill.in_etcd)
    return any(line.startswith("DatabasePut(database=Database(id=1,") for line in ill.in_memory)
