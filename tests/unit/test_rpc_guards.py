"""The metadata guards, value by value."""

from __future__ import annotations

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from hypothesis import given
from hypothesis import strategies as st

from milvus_coord.rpc.server.guards import Guards

GUARDS = Guards("by-dev", lambda: 7)
INT64 = st.integers(-(2**63), 2**63 - 1)


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"cluster": "by-dev"},
        {"cluster": ""},
        {"serverid": "7"},
        {"serverid": "+7"},
        {"serverid": "007"},
        {"cluster": "by-dev", "serverid": "7", "sourceid": "whatever"},
    ],
)
def test_ours_passes(metadata: dict[str, str]) -> None:
    GUARDS.check(metadata)


@pytest.mark.parametrize(
    "text",
    ["", "x", "8.0", "8 ", " 8", "1_0", "٨", "0x8", "--8", "9223372036854775808", "8" * 100_000],
)
def test_what_go_cannot_parse_passes(text: str) -> None:
    GUARDS.check({"serverid": text})


@given(INT64.filter(lambda n: n != 7))
def test_any_other_id_is_refused_in_gos_words(wanted: int) -> None:
    with pytest.raises(GRPCError) as refused:
        GUARDS.check({"cluster": "by-dev", "serverid": str(wanted)})
    assert refused.value.status is Status.UNKNOWN
    assert refused.value.message == (
        f"expected=%!s(int64={wanted}), actual=%!s(int64=7): server ID mismatch"
    )


def test_the_cluster_is_looked_at_first() -> None:
    def never() -> int:
        raise AssertionError("the server id was asked for")

    with pytest.raises(GRPCError) as refused:
        Guards("by-dev", never).check({"cluster": "other", "serverid": "9"})
    assert refused.value.status is Status.UNKNOWN
    assert refused.value.message == (
        "expectedCluster=by-dev, actualCluster=other: cross cluster routing"
    )
