"""Requests read by upb alone, for RPCs that are called often or carry much."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, TypeAlias

import betterproto
from google.protobuf.message import Message
from grpclib.const import Handler

from milvus_coord.wire.descriptors import twin

UpbRequest: TypeAlias = Any
"""A upb message; its fields are named as in protos/, `collectionID` for one."""


class RawRequest:
    """Takes the place of a generated class as a `Handler.request_type`.

    betterproto spends 0.1 ms on a message and as much on each message in it: a request of 1 MB
    with 100,000 pairs would stop the event loop for seconds. upb needs a hundredth of that. Like
    Go it takes a known field of a wrong wire type for an unknown one.
    """

    def __init__(self, upb: type[Message]) -> None:
        self._upb = upb
        self.__name__ = upb.DESCRIPTOR.full_name

    def __call__(self) -> UpbRequest:
        """An empty message."""
        return self._upb()

    def __instancecheck__(self, instance: object) -> bool:
        return isinstance(instance, self._upb)

    def FromString(self, data: bytes) -> UpbRequest:
        """The message in `data`. Raises DecodeError."""
        return self._upb.FromString(data)


def read_by_upb(handlers: Mapping[str, Handler]) -> dict[str, Handler]:
    """The same handlers, which are passed upb messages now."""
    return {
        path: handler._replace(request_type=_upb_type(handler.request_type))
        for path, handler in handlers.items()
    }


@cache
def _upb_type(generated: type[betterproto.Message]) -> RawRequest:
    upb = twin(generated)
    if upb is None:
        raise TypeError(f"{generated.__name__} is not a generated message")
    return RawRequest(upb)
