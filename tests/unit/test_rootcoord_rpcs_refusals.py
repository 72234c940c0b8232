"""When RPCs about the metadata are not answered: wrong type, not active, lease lapsed."""

from __future__ import annotations

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from milvus_coord.model.errors import NotServing
from milvus_coord.model.states import Phase
from testing.ddl_rpcs import CREATED, LEASE_S, DdlBench
from testing.messages import method_types

TYPES = {
    "CreateCollection": ("CreateCollection", ""),
    "DropCollection": ("DropCollection", ""),
    "HasCollection": ("HasCollection", "HasCollection failed: "),
    "DescribeCollection": ("DescribeCollection", ""),
    "DescribeCollectionInternal": ("DescribeCollection", ""),
    "ShowCollections": ("ShowCollections", "ShowCollections failed: "),
    "RenameCollection": ("RenameCollection", ""),
    "CreatePartition": ("CreatePartition", ""),
    "DropPartition": ("DropPartition", ""),
    "HasPartition": ("HasPartition", "HasPartition failed: "),
    "ShowPartitions": ("ShowPartitions", "ShowPartitions failed: "),
    "ShowPartitionsInternal": ("ShowPartitions", "ShowPartitions failed: "),
    "CreateAlias": ("CreateAlias", ""),
    "AlterAlias": ("AlterAlias", ""),
    "DropAlias": ("DropAlias", ""),
}
UNTYPED = ("AlterCollection", "CreateDatabase", "DropDatabase", "ListDatabases", "ShowSegments")
READS = (
    "HasCollection",
    "DescribeCollection",
    "DescribeCollectionInternal",
    "ShowCollections",
    "HasPartition",
    "ShowPartitions",
    "ShowPartitionsInternal",
    "ListDatabases",
)
NUMBERS = {
    "HasCollection": 102,
    "DescribeCollection": 103,
    "ShowCollections": 104,
    "HasPartition": 202,
    "ShowPartitions": 204,
}


@pytest.fixture
def bench() -> DdlBench:
    return DdlBench()


def test_these_are_all(bench: DdlBench) -> None:
    served = {path.rpartition("/")[2] for path in bench.methods}
    assert served == {*TYPES, *UNTYPED}


@pytest.mark.parametrize("rpc", TYPES)
@pytest.mark.parametrize(
    ("base", "got"),
    [
        (None, "Undefined"),
        ({}, "Undefined"),
        ({"msg_type": 500}, "Search"),
        ({"msg_type": 99999}, "99999"),
        ({"msg_type": -1}, "-1"),
    ],
)
async def test_the_wrong_message_type(
    bench: DdlBench, rpc: str, base: dict[str, int] | None, got: str
) -> None:
    expected, prefix = TYPES[rpc]
    reply = await bench.call(rpc, base=base)
    status = getattr(reply, "status", reply)
    assert status.error_code == 1
    assert status.reason == f"{prefix}invalid msg type, expect {expected}, but got {got}"
    assert bench.statements.asked == []


@pytest.mark.parametrize("rpc", [*TYPES, *UNTYPED])
async def test_while_the_term_ends(bench: DdlBench, rpc: str) -> None:
    bench.lifecycle.to(Phase.STEPPING_DOWN)
    reply = await bench.call(rpc)
    status = getattr(reply, "status", reply)
    if rpc == "ShowSegments":
        assert status.error_code == 0
        return
    assert status.error_code == 56
    assert status.reason == ("role rootcoord[nodeID: 3] is not serving, reason: sate code: StandBy")
    assert bench.statements.asked == []


@pytest.mark.parametrize("rpc", READS)
async def test_nothing_is_told_after_the_serve_lease(bench: DdlBench, rpc: str) -> None:
    base = {"msg_type": NUMBERS.get(rpc.removesuffix("Internal"), 0)}
    await bench.call(rpc, base=base)
    bench.clock.advance(LEASE_S)
    with pytest.raises(NotServing, match="serve lease lapsed"):
        await bench.call(rpc, base=base)


@pytest.mark.parametrize("rpc", ["HasCollection", "DescribeCollection", "ShowCollections"])
async def test_nor_of_earlier_times(bench: DdlBench, rpc: str) -> None:
    asked: dict[str, object] = {"base": {"msg_type": NUMBERS[rpc]}, "time_stamp": CREATED}
    if rpc != "ShowCollections":
        asked["collection_name"] = "books"
    await bench.call(rpc, **asked)
    bench.clock.advance(LEASE_S)
    with pytest.raises(NotServing, match="serve lease lapsed"):
        await bench.call(rpc, **asked)


@pytest.mark.parametrize("rpc", [*TYPES, *UNTYPED])
async def test_a_request_cut_off_in_the_middle(bench: DdlBench, rpc: str) -> None:
    request, _ = method_types(f"{bench.service}/{rpc}")
    fields: dict[str, object] = {"base": {"msg_type": 100, "msgID": 7}}
    data = request(**fields).SerializeToString()
    for size in range(1, len(data)):
        with pytest.raises(GRPCError) as caught:
            await bench.call_bytes(rpc, data[:size])
        assert caught.value.status is Status.INVALID_ARGUMENT
        assert str(caught.value.message).startswith(f"malformed {request.DESCRIPTOR.full_name}: ")
    assert bench.statements.asked == []
