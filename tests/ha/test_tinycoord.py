"""A role that the product does not know lives in a pair: killed, handed over, and checked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Literal

import pytest

from milvus_coord.app.roles import ROLES
from milvus_coord.pb.milvus.proto import index
from milvus_coord.pb.milvus.proto.common import ErrorCode, IndexState, Status
from milvus_coord.rpc.http2.channel import Channel, member_metadata
from milvus_coord.rpc.http2.unary import RpcError
from milvus_coord.wire.codec import WireCodec
from testing.cli import milvus
from testing.etcd import EtcdMember
from testing.fake_services import Fake, fake, refusal
from testing.mirror_check import check_mirrors
from testing.ours import NEVER_EARLY, OurRole
from tests.support import tinycoord
from tests.support.tinycoord.role import TINYCOORD

MODULE: Final = "tests.support.tinycoord"
META: Final = "by-dev/meta"
WITHIN_S: Final = 20.0
TTL_S: Final = 5
"""Longer than a busy machine may hold a renewal up: each takeover here is one that is asked for."""


class Hold(asyncio.Event):
    """Until it is set calls wait for it; tells when one does."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = asyncio.Event()

    async def wait(self) -> Literal[True]:
        self.reached.set()
        return await super().wait()


class Tiny:
    """A pair of tinycoords, its nodes, and who calls it."""

    def __init__(self, etcd: EtcdMember, folder: Path) -> None:
        self._etcd = etcd
        self.pair = [
            OurRole(
                "tinycoord",
                etcd_endpoints=etcd.endpoints,
                folder=folder / str(number),
                session_ttl_s=TTL_S,
                module=MODULE,
                env={"LOG_LEVEL": "debug", "HA_SERVE_LEASE": "500", **NEVER_EARLY},
            )
            for number in range(2)
        ]

    async def start(self) -> None:
        active, standby = self.pair
        active.start()
        await active.wait_active()
        standby.start()
        await standby.wait_standby()

    async def join(self, node: Fake) -> None:
        session = {
            "ServerID": node.server_id,
            "ServerName": "indexnode",
            "Address": node.peer.address,
            "Version": "2.2.16",
        }
        await self._etcd.ctl(
            "put", f"{META}/session/indexnode-{node.server_id}", json.dumps(session)
        )

    async def leave(self, node: Fake) -> None:
        """Its lease has run out."""
        await self._etcd.ctl("del", f"{META}/session/indexnode-{node.server_id}")

    async def flush(self, collection: int, *segments: int) -> None:
        """As another coordinator does it: straight into etcd."""
        for segment in segments:
            await self._etcd.ctl("put", f"{META}/tiny-flushed/{segment}", str(collection))

    async def ask(self, method: str, request: Any, reply_type: Any) -> Any:
        """Of the one that is active by now."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                for role in self.pair:
                    with suppress(RpcError):
                        reply = await self._call(role, method, request, reply_type)
                        if getattr(reply, "status", reply).error_code != ErrorCode.NotReadyServe:
                            return reply
                await asyncio.sleep(0.05)

    async def create_index(self, collection: int, name: str) -> Status:
        request = index.CreateIndexRequest(collection_id=collection, index_name=name)
        status: Status = await self.ask("CreateIndex", request, Status)
        return status

    async def reaches(self, collection: int, state: int) -> None:
        request = index.GetIndexStateRequest(collection_id=collection)

        async def done() -> bool:
            reply = await self.ask("GetIndexState", request, index.GetIndexStateResponse)
            return bool(reply.state == state)

        await until(done)

    async def stored(self, kind: str) -> dict[int, str]:
        """As Go reads it: every key that begins so, and a foreign one is an error."""
        lines = (await self._etcd.ctl("get", "--prefix", f"{META}/{kind}")).splitlines()
        pairs = zip(lines[::2], lines[1::2], strict=True)
        return {int(key.removeprefix(f"{META}/{kind}/")): value for key, value in pairs}

    async def is_whole(self) -> bool:
        """Whether one is active, and the other would take over."""
        standings = [await role.standing() for role in self.pair]
        if sorted(map(str, standings)) != ["200", "429"]:
            return False
        standby = self.pair[standings.index(429)]
        return (await standby.http("/readyz"))[0] == 200

    async def command(self, *verb: str) -> None:
        said = await milvus(*verb, "tinycoord", etcd=self._etcd.endpoints, module=MODULE)
        assert said.code == 0, said.out + said.err

    async def _call(self, role: OurRole, method: str, request: Any, reply_type: Any) -> Any:
        metadata = member_metadata("by-dev", None)
        channel = Channel(role.address, codec=WireCodec(), metadata=metadata)
        try:
            path = f"/milvus.proto.index.IndexCoord/{method}"
            return await channel.unary(path, request, reply_type, timeout_s=5.0)
        finally:
            channel.close()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not await condition():
            await asyncio.sleep(0.05)


@pytest.fixture
async def tiny(etcd: EtcdMember, tmp_path: Path) -> AsyncIterator[Tiny]:
    tiny = Tiny(etcd, tmp_path)
    yield tiny
    for role in tiny.pair:
        role.kill()


async def test_it_lives_in_a_pair(
    etcd: EtcdMember, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ROLES, "tinycoord", TINYCOORD)
    async with fake("indexnode", server_id=70) as one, fake("indexnode", server_id=71) as other:
        busy = refusal(ErrorCode.UnexpectedError, "busy")
        one.recorder.refusals, other.recorder.refusals = [busy] * 3, [busy] * 3
        await tiny.start()
        first, second = tiny.pair
        await tiny.join(one)
        await tiny.join(other)
        assert (await tiny.create_index(5, "vector")).error_code == ErrorCode.Success
        refused = await tiny.create_index(5, "other")
        assert refused.reason == "CreateIndex failed: collection 5 has another index"
        await tiny.flush(5, 100, 101, 102)
        await tiny.reaches(5, IndexState.Finished)
        await check_mirrors(etcd.endpoints, first, second)

        first.kill()
        await tiny.flush(5, 103, 104)
        await second.wait_active()
        await tiny.reaches(5, IndexState.Finished)
        first.start()
        await first.wait_standby()

        second.terminate()
        assert await second.wait_exit() == 0
        await first.wait_active()
        await tiny.flush(5, 105)
        await tiny.reaches(5, IndexState.Finished)
        second.start()
        await second.wait_standby()
        await check_mirrors(etcd.endpoints, first, second)
        await tiny.command("switchover")
        await until(tiny.is_whole)
        await tiny.command("status")
        await tiny.command("check", "mirror")
        await tiny.flush(5, 106)
        await tiny.reaches(5, IndexState.Finished)

        one.recorder.hold = hold = Hold()
        await tiny.flush(5, 107, 108, 109)
        async with asyncio.timeout(WITHIN_S):
            await hold.reached.wait()
        await tiny.leave(one)
        await tiny.reaches(5, IndexState.Finished)
        others = await tiny.stored("tiny-built")
        assert [others[segment] for segment in (107, 108, 109)] == ["71"] * 3

        assert (await tiny.create_index(6, "scalar")).error_code == ErrorCode.Success
        other.recorder.refusals = [busy] * 100
        await tiny.flush(6, 200)
        await tiny.reaches(6, IndexState.Failed)
        other.recorder.refusals = []
        await tiny.flush(5, 110)
        await tiny.reaches(5, IndexState.Finished)

        assert await tiny.stored("tiny-index") == {5: "vector", 6: "scalar"}
        built = await tiny.stored("tiny-built")
        assert list(built) == list(range(100, 111))
        assert set(built.values()) <= {"70", "71"}
        assert await tiny.stored("tiny-flushed") == {200: "6"}
        told = sum(map(int, (await tiny.stored("tiny-given")).values()))
        asked = len(one.recorder.requests("CreateJob")) + len(other.recorder.requests("CreateJob"))
        assert told >= asked >= len(built) + 3


def test_it_is_small() -> None:
    files = Path(str(tinycoord.__file__)).parent.glob("*.py")
    assert sum(len(file.read_text().splitlines()) for file in files) <= 200


def test_no_file_of_the_product_knows_it() -> None:
    product = Path(str(tinycoord.__file__)).parents[3] / "milvus_coord"
    files = [file for file in product.rglob("*.py") if "tinycoord" in file.read_text()]
    assert files == []
