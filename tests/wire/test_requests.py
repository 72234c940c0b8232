"""Requests that upb reads for a handler, through the codec."""

from __future__ import annotations

from typing import Any

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from milvus_coord.pb.milvus.proto import milvus
from milvus_coord.wire.codec import WireCodec
from milvus_coord.wire.requests import RawRequest, UpbRequest
from testing.messages import new


def request_type() -> Any:
    return RawRequest.of(milvus.DescribeCollectionRequest)


def test_a_request_is_read_by_upb() -> None:
    sent = new("milvus.DescribeCollectionRequest", collectionID=7, base={"msg_type": 4242})
    got: UpbRequest = WireCodec().decode(sent.SerializeToString(), request_type())
    assert (got.collectionID, got.base.msg_type, got.db_name) == (7, 4242, "")


def test_absent_messages_read_as_empty() -> None:
    assert WireCodec().decode(b"", request_type()).base.msg_type == 0


@pytest.mark.parametrize("data", [b"\x0a\x02\x08", b"\xff", b"\x12\x02\xff\xff"])
def test_damage_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(GRPCError) as caught:
        WireCodec().decode(data, request_type())
    assert caught.value.status is Status.INVALID_ARGUMENT
    text = str(caught.value.message)
    assert text.startswith("malformed milvus.proto.milvus.DescribeCollectionRequest: ")


def test_a_known_field_of_a_wrong_wire_type_is_unknown_as_in_go() -> None:
    got = WireCodec().decode(b"\x12\x01a\x1d\x01\x02\x03\x04", request_type())
    assert (got.db_name, got.collection_name) == ("a", "")
