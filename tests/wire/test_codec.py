from __future__ import annotations

import struct
from typing import Any

import betterproto
import pytest
from betterproto import encode_varint
from grpclib.const import Handler
from grpclib.const import Status as GrpcStatus
from grpclib.exceptions import GRPCError

from milvus_coord.pb.milvus.proto.common import ErrorCode, KeyValuePair, Status
from milvus_coord.pb.milvus.proto.data import DataCoordBase, DataNodeBase
from milvus_coord.pb.milvus.proto.index import IndexCoordBase, IndexNodeBase
from milvus_coord.pb.milvus.proto.milvus import (
    BoolResponse,
    CreateCollectionRequest,
    DescribeCollectionRequest,
    DescribeCollectionResponse,
    ShowCollectionsResponse,
)
from milvus_coord.pb.milvus.proto.proxy import ProxyBase
from milvus_coord.pb.milvus.proto.query import QueryCoordBase, QueryNodeBase
from milvus_coord.pb.milvus.proto.rootcoord import AllocTimestampResponse, RootCoordBase
from milvus_coord.pb.milvus.proto.schema import ArrayArray, ScalarField
from milvus_coord.role.warmup import warm_up_messages
from milvus_coord.wire.codec import Encoded, WireCodec, encoded
from milvus_coord.wire.descriptors import has_status, message_class, pool
from milvus_coord.wire.requests import RawRequest
from milvus_coord.wire.status import fail
from tests.wire.messages import generated_types, upb_of

SERVICES: dict[str, Any] = {
    "milvus.proto.rootcoord.RootCoord": RootCoordBase,
    "milvus.proto.data.DataCoord": DataCoordBase,
    "milvus.proto.data.DataNode": DataNodeBase,
    "milvus.proto.index.IndexCoord": IndexCoordBase,
    "milvus.proto.index.IndexNode": IndexNodeBase,
    "milvus.proto.query.QueryCoord": QueryCoordBase,
    "milvus.proto.query.QueryNode": QueryNodeBase,
    "milvus.proto.proxy.Proxy": ProxyBase,
}
#: Replies that carry no status in 2.2.16; Status itself is one.
WITHOUT_STATUS = {"milvus.proto.common.Status"}

codec = WireCodec()


def methods() -> list[tuple[str, Handler]]:
    return [each for base in SERVICES.values() for each in base().__mapping__().items()]


def status_of(data: bytes, reply_type: type[betterproto.Message]) -> Any:
    reply: Any = upb_of(reply_type).FromString(data)
    return reply.status if reply.HasField("status") else None


def test_the_stubs_have_every_method() -> None:
    expected = {
        f"/{name}/{method.name}"
        for name in SERVICES
        for method in pool().FindServiceByName(name).methods
    }
    assert {path for path, _ in methods()} == expected
    assert sum(path.startswith("/milvus.proto.rootcoord.RootCoord/") for path in expected) == 47


def test_every_reply_is_a_status_or_has_one() -> None:
    replies = {upb_of(handler.reply_type) for _, handler in methods()}
    without = {each.DESCRIPTOR.full_name for each in replies if not has_status(each)}
    assert without == WITHOUT_STATUS


@pytest.mark.parametrize(
    ("path", "handler"), [pytest.param(path, handler, id=path) for path, handler in methods()]
)
def test_every_rpc_sends_its_status(path: str, handler: Handler) -> None:
    reply_type = handler.reply_type
    if reply_type is Status:
        assert codec.encode(Status(), Status) == b""
        return
    number = upb_of(reply_type).DESCRIPTOR.fields_by_name["status"].number
    present = bytes([number << 3 | 2, 0])
    assert codec.encode(reply_type(), reply_type) == present
    assert codec.encode(reply_type(status=Status()), reply_type) == present
    assert codec.encode(reply_type(status=None), reply_type) == present
    failed = reply_type(status=fail(ErrorCode.UnexpectedError, "no"))
    assert status_of(codec.encode(failed, reply_type), reply_type).reason == "no"


def test_status_is_sent_beside_content_and_once() -> None:
    reply = AllocTimestampResponse(timestamp=5, count=1)
    assert codec.encode(reply, AllocTimestampResponse) == b"\x0a\x00\x10\x05\x18\x01"
    assert codec.encode(reply, AllocTimestampResponse) == b"\x0a\x00\x10\x05\x18\x01"


def test_messages_without_status_are_left_alone() -> None:
    request = DescribeCollectionRequest()
    assert codec.encode(request, DescribeCollectionRequest) == b""
    pair = KeyValuePair(key="status")
    assert codec.encode(pair, KeyValuePair) == b"\x0a\x06status"


def test_encoded_passes_through() -> None:
    data = Encoded(b"\x0a\x00 anything")
    assert codec.encode(data, ShowCollectionsResponse) is data


def test_plain_bytes_do_not_pass() -> None:
    with pytest.raises(TypeError, match=r"milvus\.proto\.milvus\.BoolResponse, not bytes"):
        codec.encode(b"\x0a\x00", BoolResponse)


def test_wrong_reply_does_not_pass() -> None:
    with pytest.raises(TypeError, match=r"milvus\.proto\.milvus\.BoolResponse, not Status"):
        codec.encode(Status(), BoolResponse)


def test_bulk_reply_from_upb() -> None:
    bulk: Any = message_class("milvus.proto.milvus.ShowCollectionsResponse")()
    bulk.collection_names.extend(f"c{i}" for i in range(1000))
    reply = encoded(bulk, ShowCollectionsResponse)
    sent = codec.encode(reply, ShowCollectionsResponse)
    assert sent.startswith(b"\x0a\x00")
    assert len(codec.decode(sent, ShowCollectionsResponse).collection_names) == 1000


def test_bulk_reply_of_another_type_does_not_pass() -> None:
    with pytest.raises(TypeError, match=r"BoolResponse is no milvus\.proto\.milvus\.Show"):
        encoded(message_class("milvus.proto.milvus.BoolResponse")(), ShowCollectionsResponse)


REQUEST = CreateCollectionRequest(
    collection_name="books", shards_num=2, properties=[KeyValuePair(key="a", value="b")]
)
DAMAGE = {
    "cut inside a string": bytes(REQUEST)[:5],
    "cut inside a sub-message": bytes(REQUEST)[:-1],
    "cut after a tag": b"\x10",
    "length beyond the end": b"\x1a\xff\xff\xff\xff\x0fbooks",
    "endless varint": b"\x28" + b"\xff" * 11,
    "field number zero": b"\x02\x01a",
    "text that is not UTF-8": b"\x1a\x02\xff\xfe",
    "text that is not UTF-8 in a sub-message": b"\x3a\x04\x0a\x02\xff\xfe",
    "number where text belongs": b"\x18\x05",
    "number where a sub-message belongs": b"\x08\x05",
    "text where a number belongs": b"\x2a\x05books",
    "fixed32 where text belongs": b"\x1d\x01\x02\x03\x04",
    "fixed64 where a number belongs": b"\x29" + b"\0" * 8,
    "wrong wire type in a sub-message": b"\x3a\x02\x08\x05",
    "end of a group that never began": b"\x0c",
    "group without end": b"\x0b\x08\x01",
    "group where a sub-message belongs": b"\x0b\x0c",
    "unknown group": b"\x9b\x06\x08\x01\x9c\x06",
    "reserved wire type": b"\x0e\x01",
    "random": bytes(range(255, 200, -1)),
}


@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data in DAMAGE.items()])
def test_damage_is_an_invalid_argument_that_names_the_message(data: bytes) -> None:
    with pytest.raises(GRPCError) as caught:
        codec.decode(data, CreateCollectionRequest)
    assert caught.value.status is GrpcStatus.INVALID_ARGUMENT
    assert caught.value.message is not None
    assert caught.value.message.startswith(
        "malformed milvus.proto.milvus.CreateCollectionRequest: "
    )


@pytest.mark.parametrize("cut", range(1, len(bytes(REQUEST))))
def test_every_cut_is_an_error_or_a_shorter_message(cut: int) -> None:
    data = bytes(REQUEST)[:cut]
    try:
        upb_of(CreateCollectionRequest).FromString(data)
    except Exception:  # any error will do, the codec must have one too
        with pytest.raises(GRPCError):
            codec.decode(data, CreateCollectionRequest)
    else:
        assert bytes(codec.decode(data, CreateCollectionRequest)) == data


def test_a_client_may_choose_its_code_for_damage() -> None:
    with pytest.raises(GRPCError) as caught:
        WireCodec(on_damage=GrpcStatus.INTERNAL).decode(b"\x08", BoolResponse)
    assert caught.value.status is GrpcStatus.INTERNAL


@pytest.mark.parametrize(("depth", "fits"), [(90, True), (110, False), (20_000, False)])
def test_nesting_is_bounded(depth: int, fits: bool) -> None:
    numbers = {
        each: upb_of(each).DESCRIPTOR.fields_by_name[name].number
        for each, name in ((ScalarField, "array_data"), (ArrayArray, "data"))
    }
    data = b""
    for level in reversed(range(depth)):
        tag = numbers[ScalarField if level % 2 == 0 else ArrayArray] << 3 | 2
        data = bytes([tag]) + encode_varint(len(data)) + data
    if fits:
        assert bytes(codec.decode(data, ScalarField)) == data
        return
    with pytest.raises(GRPCError, match=r"malformed milvus\.proto\.schema\.ScalarField") as caught:
        codec.decode(data, ScalarField)
    assert caught.value.status is GrpcStatus.INVALID_ARGUMENT


def test_a_split_sub_message_is_merged() -> None:
    halves = b"\x0a\x02\x08\x04" + b"\x0a\x04\x12\x02no"
    status = codec.decode(halves, BoolResponse).status
    assert (status.error_code, status.reason) == (4, "no")


def test_unknown_fields_are_kept() -> None:
    data = b"\x10\x01" + b"\x98\x06\x07" + b"\xa2\x06\x02hi" + b"\xad\x06" + struct.pack("<i", 9)
    read = codec.decode(data, BoolResponse)
    assert read.value is True
    assert bytes(read) == data


def test_repeated_numbers_may_be_packed_or_not() -> None:
    for data in (b"\x1a\x02\x01\x02", b"\x18\x01\x18\x02"):
        assert codec.decode(data, ShowCollectionsResponse).collection_ids == [1, 2]


def test_empty_body_is_the_empty_message() -> None:
    for each in generated_types():
        assert codec.decode(b"", each) == each()


def test_too_large_a_message_is_not_sent() -> None:
    small = WireCodec(send_max_bytes=10)
    fits = DescribeCollectionRequest(collection_name="12345678")
    assert len(small.encode(fits, DescribeCollectionRequest)) == 10
    for large in (DescribeCollectionRequest(collection_name="123456789"), Encoded(b"x" * 11)):
        with pytest.raises(GRPCError, match="11 bytes is above the limit of 10") as caught:
            small.encode(large, DescribeCollectionRequest)
        assert caught.value.status is GrpcStatus.RESOURCE_EXHAUSTED


def test_default_limit_is_go_s() -> None:
    codec.encode(Encoded(bytes(256 << 20)), DescribeCollectionResponse)
    with pytest.raises(GRPCError, match="268435456"):
        codec.encode(Encoded(bytes((256 << 20) + 1)), DescribeCollectionResponse)


class Recording(WireCodec):
    """Notes the bytes of each message that goes through."""

    def __init__(self) -> None:
        super().__init__()
        self.encoded: list[tuple[Any, bytes]] = []
        self.decoded: list[tuple[Any, bytes]] = []

    def encode(self, message: Any, message_type: type[Any]) -> bytes:
        data = super().encode(message, message_type)
        self.encoded.append((message_type, data))
        return data

    def decode(self, data: bytes, message_type: type[Any]) -> Any:
        self.decoded.append((message_type, data))
        return super().decode(data, message_type)


def test_warmed_up_messages_come_back_as_they_went() -> None:
    for kind in {each for _, (*_, asked, told) in methods() for each in (asked, told)}:
        recording = Recording()
        warm_up_messages([kind], recording)
        (empty, full), upb = recording.encoded, upb_of(kind)
        fields = upb.DESCRIPTOR.fields
        assert len(upb.FromString(full[1]).ListFields()) >= min(len(fields), 1)
        for went, came in zip((empty, full), recording.decoded, strict=True):
            assert went[0] is came[0] is kind
            assert upb.FromString(went[1]) == upb.FromString(came[1])


def test_requests_that_upb_reads_are_warmed_up_empty() -> None:
    raw, recording = RawRequest.of(DescribeCollectionRequest), Recording()
    warm_up_messages([raw], recording)
    assert recording.encoded == recording.decoded == [(raw, b"")]
