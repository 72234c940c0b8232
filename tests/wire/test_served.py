"""The codec in our server, asked by gRPC's C core."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from milvus_coord.pb.milvus.proto.milvus import (
    BoolResponse,
    HasCollectionRequest,
    ShowCollectionsRequest,
    ShowCollectionsResponse,
)
from milvus_coord.pb.milvus.proto.rootcoord import RootCoordBase
from milvus_coord.rpc.port import ReservedPort
from milvus_coord.rpc.server.dispatcher import Service
from milvus_coord.rpc.server.guards import Guards
from milvus_coord.rpc.server.limits import Limits
from milvus_coord.rpc.server.server import RpcServer
from milvus_coord.wire.codec import WireCodec, encoded
from milvus_coord.wire.descriptors import message_class
from testing.rpc import CoreClient

SEND_MAX_BYTES = 4096


class Coordinator(RootCoordBase):
    async def has_collection(
        self, milvus_has_collection_request: HasCollectionRequest
    ) -> BoolResponse:
        return BoolResponse(value=milvus_has_collection_request.collection_name == "books")

    async def show_collections(
        self, milvus_show_collections_request: ShowCollectionsRequest
    ) -> ShowCollectionsResponse:
        reply: Any = message_class("milvus.proto.milvus.ShowCollectionsResponse")()
        reply.collection_ids.extend(range(milvus_show_collections_request.time_stamp))
        return encoded(reply, ShowCollectionsResponse)


@pytest.fixture
async def client() -> AsyncIterator[CoreClient]:
    server = RpcServer(
        [cast(Service, Coordinator())],
        codec=WireCodec(send_max_bytes=SEND_MAX_BYTES),
        limits=Limits(),
        guards=Guards("by-dev", lambda: 1),
    )
    with ReservedPort.bind("127.0.0.1", 0) as reserved:
        await server.listen(reserved)
        client = CoreClient(f"127.0.0.1:{reserved.address[1]}")
        try:
            yield client
        finally:
            client.close()
            await server.abort()


async def test_an_untouched_status_reaches_the_client(client: CoreClient) -> None:
    assert await client.ask("HasCollection", b"\x1a\x05books") == ("OK", b"\x0a\x00\x10\x01")
    assert await client.ask("HasCollection", b"") == ("OK", b"\x0a\x00")


async def test_a_bulk_reply_reaches_the_client(client: CoreClient) -> None:
    assert await client.ask("ShowCollections", b"\x18\x03") == (
        "OK",
        b"\x0a\x00\x1a\x03\x00\x01\x02",
    )


async def test_a_damaged_request_is_refused_by_name(client: CoreClient) -> None:
    code, text = await client.ask("HasCollection", b"\x1a\x09books")
    assert code == "INVALID_ARGUMENT"
    assert str(text).startswith("malformed milvus.proto.milvus.HasCollectionRequest: ")


async def test_a_reply_above_the_limit_is_refused_by_name(client: CoreClient) -> None:
    code, text = await client.ask("ShowCollections", b"\x18\x88\x27")
    assert code == "RESOURCE_EXHAUSTED"
    assert "milvus.proto.milvus.ShowCollectionsResponse of " in str(text)
    assert str(text).endswith(f" bytes is above the limit of {SEND_MAX_BYTES}")
