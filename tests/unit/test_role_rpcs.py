"""Any role's RPCs: what a method returns or raises, and what the caller is told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, TypeVar

import pytest

from milvus_coord.ha.election.lifecycle import Lifecycle
from milvus_coord.model.errors import NotFound, NotServing
from milvus_coord.model.states import Phase
from milvus_coord.pb.milvus.proto import index
from milvus_coord.pb.milvus.proto.common import ErrorCode, IndexState, Status
from milvus_coord.role.rpcs.answers import answers
from milvus_coord.role.rpcs.contract import Contract
from milvus_coord.role.rpcs.family import Answering, RpcFamily
from milvus_coord.role.rpcs.info import ComponentRpcs
from milvus_coord.role.rpcs.waiting import Refusals
from milvus_coord.runtime.clock import ManualClock
from milvus_coord.wire.requests import UpbRequest
from milvus_coord.wire.status import ok
from testing.log_lines import log_lines

Reply = TypeVar("Reply")

PATH = "/milvus.proto.index.IndexCoord"
CONTRACT = Contract("indexcoord", index.IndexCoordBase())


class Family(RpcFamily):
    """Its RPCs raise `error` when there is one."""

    error: Exception | None = None

    @answers("CreateIndex failed: ")
    async def create_index(self, request: UpbRequest) -> Status:
        return self._outcome(ok())

    @answers(code=ErrorCode.IndexNotExist, echo=("state",))
    async def get_index_state(self, request: UpbRequest) -> index.GetIndexStateResponse:
        return self._outcome(index.GetIndexStateResponse(status=ok()))

    @answers(always=True)
    async def drop_index(self, request: UpbRequest) -> Status:
        return self._outcome(ok())

    def _outcome(self, reply: Reply) -> Reply:
        if self.error is not None:
            raise self.error
        return reply


class Bench:
    """A family of a role in some phase; `observed` are the calls that were counted."""

    def __init__(self, *phases: Phase) -> None:
        self.lifecycle = Lifecycle(ManualClock())
        self.lifecycle.server_id = 7
        for phase in phases:
            self.lifecycle.to(phase, epoch=1)
        self.observed: list[tuple[str, bool]] = []
        self.answering = Answering(CONTRACT, self.lifecycle, self._observe)
        self.family = Family(self.answering)

    def _observe(self, rpc: str, success: bool, seconds: float) -> None:
        assert seconds >= 0
        self.observed.append((rpc, success))


ACTIVE = (Phase.STANDBY, Phase.ACTIVATING, Phase.ACTIVE)
NO_REQUEST: Any = None


def test_a_family_serves_what_it_defines() -> None:
    assert set(Family(Bench().answering).__mapping__()) == {
        f"{PATH}/CreateIndex",
        f"{PATH}/GetIndexState",
        f"{PATH}/DropIndex",
    }


async def test_success_is_counted() -> None:
    bench = Bench(*ACTIVE)
    assert await bench.family.create_index(NO_REQUEST) == ok()
    assert bench.observed == [("CreateIndex", True)]


async def test_an_error_becomes_the_status() -> None:
    bench = Bench(*ACTIVE)
    bench.family.error = NotFound("no field 5")
    status = await bench.family.create_index(NO_REQUEST)
    assert (status.error_code, status.reason) == (1, "CreateIndex failed: no field 5")
    assert bench.observed == [("CreateIndex", False)]


async def test_an_rpc_may_have_one_code_for_all_and_repeat_fields_of_the_request() -> None:
    bench = Bench(*ACTIVE)
    bench.family.error = NotFound("none")
    asked: Any = SimpleNamespace(state=IndexState.try_value(int(IndexState.Retry)))
    reply = await bench.family.get_index_state(asked)
    assert (reply.status.error_code, reply.status.reason) == (ErrorCode.IndexNotExist, "none")
    assert reply.state == IndexState.Retry


async def test_a_bug_is_logged_and_answered() -> None:
    bench = Bench(*ACTIVE)
    bench.family.error = ZeroDivisionError("by zero")
    with log_lines() as lines:
        status = await bench.family.create_index(NO_REQUEST)
    assert status.reason == "CreateIndex failed: ZeroDivisionError: by zero"
    assert [(line.level, line.message) for line in lines] == [("ERROR", "call broke")]


async def test_who_may_not_serve_says_so_to_the_server() -> None:
    bench = Bench(*ACTIVE)
    bench.family.error = NotServing("lapsed")
    with pytest.raises(NotServing, match="lapsed"):
        await bench.family.create_index(NO_REQUEST)


async def test_in_other_phases_it_is_refused_and_not_counted() -> None:
    bench = Bench(Phase.STANDBY, Phase.ACTIVATING)
    status = await bench.family.create_index(NO_REQUEST)
    assert status.error_code == ErrorCode.NotReadyServe
    assert status.reason == (
        "role indexcoord[nodeID: 7] is not serving, reason: sate code: Initializing"
    )
    assert await bench.family.drop_index(NO_REQUEST) == ok(), "this one is answered always"
    assert bench.observed == []


async def test_while_a_term_begins_all_is_refused_but_how_we_are() -> None:
    bench = Bench(Phase.STANDBY, Phase.ACTIVATING)
    component = ComponentRpcs(bench.answering)
    assert set(Refusals(bench.answering).__mapping__()) == set(index.IndexCoordBase().__mapping__())
    assert set(component.__mapping__()) == {
        f"{PATH}/CheckHealth",
        f"{PATH}/GetComponentStates",
        f"{PATH}/GetStatisticsChannel",
    }
    states = await component.get_component_states(NO_REQUEST)
    assert (states.state.role, states.state.node_id) == ("IndexCoord", 7)


async def test_health_tells_of_the_problems_of_an_active() -> None:
    async def problems() -> list[str]:
        return ["a node is ill"]

    ill = ComponentRpcs(Bench(*ACTIVE).answering, problems=problems)
    reply = await ill.check_health(NO_REQUEST)
    assert (reply.is_healthy, reply.reasons) == (False, ["a node is ill"])
    well = await ComponentRpcs(Bench(*ACTIVE).answering).check_health(NO_REQUEST)
    assert (well.is_healthy, well.reasons) == (True, [])
