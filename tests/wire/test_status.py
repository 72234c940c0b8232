from __future__ import annotations

import pytest

from milvus_coord.pb.milvus.proto.common import ErrorCode, StateCode, Status
from milvus_coord.wire.states import component_states
from milvus_coord.wire.status import fail, not_serving, ok


def test_ok_is_a_status_without_content() -> None:
    assert bytes(ok()) == b""
    assert ok() == Status()


def test_fail() -> None:
    status = Status.FromString(bytes(fail(ErrorCode.CollectionNotExists, "no such collection")))
    assert (status.error_code, status.reason) == (4, "no such collection")


def test_fail_takes_a_code_that_2_2_does_not_know() -> None:
    assert bytes(fail(1100, "x")) == b"\x08\xcc\x08\x12\x01x"


def test_success_is_no_failure() -> None:
    with pytest.raises(ValueError, match="went well"):
        fail(ErrorCode.Success, "went well")


@pytest.mark.parametrize(
    ("role", "text"),
    [
        (
            "rootcoord",
            "role rootcoord[nodeID: 7] is not serving, reason: sate code: Initializing",
        ),
        ("querycoord", "role querycoord[nodeID: 7] is not serving, reason: Initializing"),
    ],
)
def test_not_serving_speaks_like_go(role: str, text: str) -> None:
    status = not_serving(role, 7, "Initializing")
    assert (status.error_code, status.reason) == (56, text)


@pytest.mark.parametrize(
    ("role", "recorded"),
    [
        (
            "rootcoord",
            "0a0f 0801 1209 726f6f74636f6f7264 1801 120f 0801 1209 726f6f74636f6f7264 1801 1a00",
        ),
        ("datacoord", "0a0f 0801 1209 64617461636f6f7264 1801 1a00"),
        ("querycoord", "0a04 0801 1801 1a00"),
        ("indexcoord", "0a10 0801 120a 496e646578436f6f7264 1801 1a00"),
    ],
)
def test_component_states_are_go_s_bytes(role: str, recorded: str) -> None:
    assert bytes(component_states(role, 1, StateCode.Healthy)) == bytes.fromhex(recorded)


def test_component_states_before_registration() -> None:
    states = component_states("rootcoord", -1, StateCode.Abnormal)
    assert states.state.node_id == -1
    assert states.state.state_code == StateCode.Abnormal
    assert states.subcomponent_states == [states.state]


def test_another_role_is_called_by_its_name() -> None:
    states = component_states("tinycoord", 1, StateCode.Healthy)
    assert (states.state.role, states.subcomponent_states) == ("tinycoord", [])
