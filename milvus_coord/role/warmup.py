"""Go the ways of a new active once, before clients wait at the end of them.

betterproto and upb learn each message at its first use, which costs a millisecond and more, and
the first use of a type as the value of a field as much again. The first calls of a server cost a
multiple of later ones, for Python runs a way several times faster once it has been gone.
"""

from __future__ import annotations

import asyncio
import dataclasses
import socket
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final, cast

import betterproto
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from milvus_coord.rpc.http2.client_connection import ClientConnection, KeepAlive
from milvus_coord.rpc.http2.unary import RpcError, framed, request_headers, timeout_header
from milvus_coord.rpc.server.server import RpcServer
from milvus_coord.wire.codec import WireCodec
from milvus_coord.wire.descriptors import twin

_NOBODY: Final = "warm-up"
_CALL_S: Final = 1.0
_DEPTH: Final = 3  # of messages in messages; a request nests no deeper, but the schema's can
_SAMPLES: Final[dict[int, Any]] = {
    FieldDescriptor.TYPE_BOOL: True,
    FieldDescriptor.TYPE_BYTES: b"x",
    FieldDescriptor.TYPE_STRING: "x",
}


async def warm_up_calls(server: RpcServer, methods: Iterable[str]) -> None:
    """Let `server` answer an empty request to each of `methods` (paths), and use it up.

    Client and server talk over a pair of sockets; nothing listens, and what is answered does not
    matter.
    """
    ours, theirs = socket.socketpair()
    await server.adopt(ours)
    _, client = await asyncio.get_running_loop().create_unix_connection(
        lambda: ClientConnection(_NOBODY, KeepAlive(), lambda _: None), sock=theirs
    )
    try:
        for method in methods:
            headers = request_headers(method, authority=_NOBODY, scheme="http", metadata={})
            with suppress(RpcError):
                await client.exchange([*headers, timeout_header(_CALL_S)], framed(b""))
    finally:
        client.close()
        await server.abort(reason="warmed up")


def warm_up_messages(types: Iterable[Any], codec: WireCodec) -> None:
    """Take a message of each of `types` through `codec`, empty and full."""
    learnt: set[type[betterproto.Message]] = set()
    for kind in types:
        codec.decode(codec.encode(kind(), kind), kind)
        if isinstance(kind, type) and issubclass(kind, betterproto.Message):
            _learn(kind, codec, learnt)


def _learn(
    kind: type[betterproto.Message], codec: WireCodec, learnt: set[type[betterproto.Message]]
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
