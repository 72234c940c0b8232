"""The id that a call is logged with."""

from __future__ import annotations

import pytest

from milvus_coord.rpc.server.dispatcher import trace_id_of


@pytest.mark.parametrize(
    ("metadata", "trace_id"),
    [
        ({}, ""),
        ({"uber-trace-id": "4bf9:00f0:0:1"}, "4bf9"),
        ({"uber-trace-id": ""}, ""),
        ({"uber-trace-id": "alone"}, "alone"),
        ({"client_request_id": "a:b", "uber-trace-id": "4bf9:00f0:0:1"}, "a:b"),
        ({"client_request_id": "", "uber-trace-id": "4bf9:00f0:0:1"}, "4bf9"),
    ],
)
def test_trace_id(metadata: dict[str, str], trace_id: str) -> None:
    assert trace_id_of(metadata) == trace_id
