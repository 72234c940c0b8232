"""Learn messages before they are needed: betterproto and upb learn each at its first use."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, Final, cast

import betterproto
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from grpclib.const import Handler
from grpclib.encoding.base import CodecBase

from milvus_coord.wire.descriptors import twin

_DEPTH: Final = 3  # of messages in messages; a request nests no deeper, but the schema's can
_SAMPLES: Final[dict[int, Any]] = {
    FieldDescriptor.TYPE_BOOL: True,
    FieldDescriptor.TYPE_BYTES: b"x",
    FieldDescriptor.TYPE_STRING: "x",
}


def rehearse(handlers: Iterable[Handler], codec: CodecBase) -> None:
    """Take every message of `handlers` through `codec`, empty and full.

    The first use of a message costs a millisecond and more, the first use of a type as the value
    of a field as much again (Python looks whether it is a message of any kind): rather now than
    while clients wait for a new active.
    """
    learnt: set[type[betterproto.Message]] = set()
    for handler in handlers:
        for kind in (handler.request_type, handler.reply_type):
            codec.decode(codec.encode(kind(), kind), kind)
            if isinstance(kind, type) and issubclass(kind, betterproto.Message):
                _learn(kind, codec, learnt)


def _learn(
    kind: type[betterproto.Message], codec: CodecBase, learnt: set[type[betterproto.Message]]
) -> None:
    upb = twin(kind)
    if upb is None or kind in learnt:
        return
    full = codec.decode(_full(upb(), _DEPTH).SerializeToString(), kind)
    codec.encode(_rebuilt(full, learnt), kind)


def _full(message: Message, depth: int) -> Message:
    """`message` with something in every field, down to `depth`; of a oneof the last stays."""
    for field in message.DESCRIPTOR.fields:
        nested = field.message_type
        if nested is None:
            _fill(message, field)
        elif nested.GetOptions().map_entry or depth == 0:
            continue
        elif field.is_repeated:
            _full(getattr(message, field.name).add(), depth - 1)
        else:
            getattr(message, field.name).SetInParent()
            _full(getattr(message, field.name), depth - 1)
    return message


def _fill(message: Message, field: Any) -> None:
    sample = _SAMPLES.get(field.type, 1)
    if field.enum_type is not None:
        sample = field.enum_type.values[-1].number
    if field.is_repeated:
        getattr(message, field.name).append(sample)
    else:
        setattr(message, field.name, sample)


def _rebuilt(
    message: betterproto.Message, learnt: set[type[betterproto.Message]]
) -> betterproto.Message:
    """The same, made as a handler makes it: from its fields."""
    learnt.add(type(message))
    fields = {}
    for name in (field.name for field in dataclasses.fields(cast(Any, message))):
        try:
            value = getattr(message, name)
        except AttributeError:  # another of its oneof is set
            continue
        if isinstance(value, betterproto.Message):
            value = _rebuilt(value, learnt)
        elif isinstance(value, list):
            value = [
                _rebuilt(one, learnt) if isinstance(one, betterproto.Message) else one
                for one in value
            ]
        fields[name] = value
    return type(message)(**fields)
