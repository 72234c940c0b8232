"""The quota that etcd 3.6 tells, read from a field that the messages in use do not know."""

from __future__ import annotations

from milvus_coord.etcd.client.messages import quota_bytes
from milvus_coord.etcd.client.rpc import pb


def test_etcd_3_6_tells_it() -> None:
    field_12_as_a_varint = bytes([12 << 3]) + bytes([0x80, 0x80, 0x80, 0x80, 0x08])
    status = pb.StatusResponse.FromString(
        pb.StatusResponse(version="3.6.9", dbSize=7).SerializeToString() + field_12_as_a_varint
    )
    assert (status.dbSize, quota_bytes(status)) == (7, 2 << 30)


def test_older_ones_do_not() -> None:
    assert quota_bytes(pb.StatusResponse(version="3.5.28", dbSize=7)) == 0
