"""Our values to etcd's protobuf messages and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from google.protobuf.unknown_fields import UnknownFieldSet

from milvus_coord.etcd.client.rpc import pb
from milvus_coord.etcd.txn import (
    Compare,
    Delete,
    DeleteResult,
    Op,
    OpResult,
    Put,
    PutResult,
    Target,
    Txn,
    TxnResult,
)
from milvus_coord.etcd.values import Event, EventKind, KeyValue, RangeResult

_DB_SIZE_QUOTA: Final = 12

_TARGETS: Final = {
    Target.VERSION: (pb.Compare.VERSION, "version"),
    Target.CREATE_REVISION: (pb.Compare.CREATE, "create_revision"),
    Target.MOD_REVISION: (pb.Compare.MOD, "mod_revision"),
    Target.VALUE: (pb.Compare.VALUE, "value"),
    Target.LEASE: (pb.Compare.LEASE, "lease"),
}


def key_value(kv: Any) -> KeyValue:
    """A `mvccpb.KeyValue`."""
    return KeyValue(kv.key, kv.value, kv.lease, kv.version, kv.create_revision, kv.mod_revision)


def key_values(kvs: Iterable[Any]) -> tuple[KeyValue, ...]:
    """Keys of a `RangeResponse`."""
    return tuple(key_value(kv) for kv in kvs)


def event(message: Any) -> Event:
    """A `mvccpb.Event`."""
    kind = EventKind.DELETE if message.type == pb.Event.DELETE else EventKind.PUT
    return Event(kind, key_value(message.kv))


def txn_request(txn: Txn) -> Any:
    """A `TxnRequest`."""
    return pb.TxnRequest(
        compare=[_compare(compare) for compare in txn.compares],
        success=[_operation(op) for op in txn.then],
        failure=[_operation(op) for op in txn.otherwise],
    )


def txn_result(response: Any) -> TxnResult:
    """A `TxnResponse`."""
    revision = response.header.revision
    return TxnResult(
        response.succeeded,
        revision,
        tuple(_answer(answer, revision) for answer in response.responses),
    )


def _compare(compare: Compare) -> Any:
    target, name = _TARGETS[compare.target]
    operand = {name: compare.operand}
    return pb.Compare(result=pb.Compare.EQUAL, target=target, key=compare.key, **operand)


def _operation(op: Op) -> Any:
    if isinstance(op, Put):
        request = pb.PutRequest(key=op.key, value=op.value, lease=op.lease)
        return pb.RequestOp(request_put=request)
    if isinstance(op, Delete):
        deletion = pb.DeleteRangeRequest(key=op.key, range_end=op.end)
        return pb.RequestOp(request_delete_range=deletion)
    return pb.RequestOp(request_range=pb.RangeRequest(key=op.key, range_end=op.end))


def _answer(answer: Any, revision: int) -> OpResult:
    kind = answer.WhichOneof("response")
    if kind == "response_put":
        return PutResult()
    if kind == "response_delete_range":
        return DeleteResult(answer.response_delete_range.deleted)
    return RangeResult(key_values(answer.response_range.kvs), revision)


def quota_bytes(status: Any) -> int:
    """The backend quota, which etcd 3.6 tells in a field unknown to aetcd's messages; else 0."""
    fields: Any = UnknownFieldSet(status)  # its types do not say that it can be walked
    for unknown in fields:
        if unknown.field_number == _DB_SIZE_QUOTA and isinstance(unknown.data, int):
            return unknown.data
    return 0
