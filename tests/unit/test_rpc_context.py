"""The context of a call: its trace id, its deadline, who sees it."""

from __future__ import annotations

import asyncio

import pytest
from grpclib.metadata import Deadline

from milvus_coord.rpc.server.context import CallContext, current_call, enter_call, trace_id_of


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


def _context(deadline: Deadline | None) -> CallContext:
    return CallContext("/a.B/C", "10.0.0.1:5", {}, deadline, "")


def test_time_left() -> None:
    assert _context(None).time_left_s() is None
    assert _context(Deadline.from_timeout(-1)).time_left_s() == 0
    assert 5 < (_context(Deadline.from_timeout(9)).time_left_s() or 0) <= 9


async def test_a_context_is_seen_by_its_task_and_those_started_inside() -> None:
    context = _context(None)

    async def serve() -> None:
        enter_call(context)
        async with asyncio.TaskGroup() as group:
            inner = group.create_task(look(), name="inner")
        assert inner.result() is context

    async def look() -> CallContext | None:
        return current_call()

    assert current_call() is None
    await asyncio.create_task(serve(), name="serve")
    assert current_call() is None
