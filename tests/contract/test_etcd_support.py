"""The test cluster does what its words say."""

from __future__ import annotations

import time

import pytest

from testing.etcd import EtcdCluster, EtcdMember

pytestmark = pytest.mark.etcd


async def test_a_member_keeps_its_data_over_restart_and_kill(etcd: EtcdMember) -> None:
    await etcd.ctl("put", "k", "v1")
    await etcd.restart()
    assert await etcd.ctl("get", "--print-value-only", "k") == "v1\n"
    etcd.kill()
    assert not etcd.running
    assert not await etcd.is_healthy()
    await etcd.start()
    assert await etcd.ctl("get", "--print-value-only", "k") == "v1\n"


async def test_a_paused_member_does_not_answer_until_resumed(etcd: EtcdMember) -> None:
    etcd.pause()
    assert not await etcd.is_healthy()
    etcd.resume()
    await etcd.wait_ready()


async def test_three_members_elect_another_leader(etcd3: EtcdCluster) -> None:
    first = await etcd3.leader()
    assert len(await etcd3.followers()) == 2
    first.kill()
    began = time.monotonic()
    second = await etcd3.leader()
    assert second is not first
    assert time.monotonic() - began < 10
    await first.start()
    assert etcd3.at(first.client_endpoint) is first
