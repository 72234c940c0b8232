"""A standby that lacks what the role needs is not ready, says why, and leads if it must."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest

from testing.cli import milvus
from testing.etcd import EtcdMember
from testing.ports import free_ports
from tests.ha.conftest import StartRole, started_pair

pytestmark = pytest.mark.etcd


async def status(etcd: EtcdMember, code: int) -> str:
    """What `status` prints when its exit code is `code` at last."""
    async with asyncio.timeout(20):
        while (said := await milvus("status", "rootcoord", etcd=etcd.endpoints)).code != code:
            pass
    return said.out


async def test_a_standby_whose_queue_is_away(etcd: EtcdMember, rootcoord: StartRole) -> None:
    port = free_ports(1)[0]
    broker = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port)
    env = {"MQ_TYPE": "kafka", "KAFKA_BROKER_LIST": f"127.0.0.1:{port}"}
    active, standby = await started_pair(rootcoord, etcd.endpoints, session_ttl_s=30, env=env)
    await status(etcd, 0)
    broker.close()
    await broker.wait_closed()
    trouble = f"the message queue: no broker can be reached, 127.0.0.1:{port}"
    assert trouble in await status(etcd, 4)
    said = await milvus("switchover", "rootcoord", etcd=etcd.endpoints)
    assert (said.code, trouble in said.err) == (3, True)
    assert trouble in (await milvus("doctor", "rootcoord", etcd=etcd.endpoints)).out
    code, ready = await standby.http("/readyz?verbose")
    assert (code, trouble in ready) == (503, True)
    assert "milvus_coord_ready 0" in (await standby.http("/metrics"))[1]
    assert f"leads, but {trouble}" in await status(etcd, 4)
    assert await active.standing() == 200, "an outage of the queue is no reason to step down"
    broker = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port)
    await status(etcd, 0)
    broker.close()
    await broker.wait_closed()
    await status(etcd, 4)
    active.kill()
    await standby.wait_active()


async def test_a_standby_whose_management_port_is_taken(
    etcd: EtcdMember, rootcoord: StartRole
) -> None:
    active = rootcoord(etcd.endpoints, session_ttl_s=30)
    active.start()
    await active.wait_active()
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        standby = rootcoord(etcd.endpoints, session_ttl_s=30, env={"METRICS_PORT": str(port)})
        standby.start()
        await standby.wait_line("no management port")
        out = await status(etcd, 4)
    assert "is not ready: the management port: " in out
    said = await milvus("status", "rootcoord", "-o", "json", etcd=etcd.endpoints)
    (role,) = json.loads(said.out)["roles"]
    assert [one["ready"] for one in role["instances"]] == [None, False]
