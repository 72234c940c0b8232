"""Requests of a proxy to a rootcoord, and callers that send them side by side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from testing import messages
from testing.grpc_wire import GrpcConnection

SERVICE: Final = "rootcoord.RootCoord"
_INT64, _FLOAT_VECTOR = 5, 101
_CREATE, _DESCRIBE, _HAS = 100, 103, 102


def create_collection(name: str) -> bytes:
    """CreateCollection as a proxy sends it: an id, a vector, a scalar; two shards."""
    schema = messages.message_class("schema.CollectionSchema")(name=name)
    schema.fields.add(fieldID=100, name="id", is_primary_key=True, data_type=_INT64)
    vector = schema.fields.add(fieldID=101, name="v", data_type=_FLOAT_VECTOR)
    vector.type_params.add(key="dim", value="128")
    schema.fields.add(fieldID=102, name="n", data_type=_INT64)
    return _request(
        "milvus.CreateCollectionRequest",
        _CREATE,
        db_name="default",
        collection_name=name,
        schema=schema.SerializeToString(),
        shards_num=2,
        consistency_level=2,
    )


def describe_collection(name: str) -> bytes:
    return _request(
        "milvus.DescribeCollectionRequest", _DESCRIBE, db_name="default", collection_name=name
    )


def has_collection(name: str) -> bytes:
    return _request("milvus.HasCollectionRequest", _HAS, db_name="default", collection_name=name)


def allocate_timestamp() -> bytes:
    return _request("rootcoord.AllocTimestampRequest", 0, count=1)


def allocate_id() -> bytes:
    return _request("rootcoord.AllocIDRequest", 0, count=1)


def _request(message: str, msg_type: int, **fields: object) -> bytes:
    request = messages.new(message, **fields)
    request.base.msg_type = msg_type
    data: bytes = request.SerializeToString()
    return data


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[GrpcConnection]:
    connection = await GrpcConnection.open(address)
    try:
        yield connection
    finally:
        connection.close()


async def call(connection: GrpcConnection, rpc: str, body: bytes) -> Any:
    """The reply, whose status must be Success. Raises RpcFailed, RuntimeError."""
    _, reply_type = messages.method_types(f"{SERVICE}/{rpc}")
    reply = reply_type.FromString(await connection.send(f"{SERVICE}/{rpc}", body))
    status = reply if reply.DESCRIPTOR.name == "Status" else reply.status
    if status.error_code:
        raise RuntimeError(f"{rpc}: {status.error_code} {status.reason}")
    return reply


async def side_by_side(callers: int, total: int, work: Callable[[int], Awaitable[object]]) -> None:
    """Do `work(0)` .. `work(total - 1)`, `callers` at a time."""
    numbers = iter(range(total))

    async def caller() -> None:
        for number in numbers:
            await work(number)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(callers):
            tasks.create_task(caller())
