"""Requests read by upb alone."""

from __future__ import annotations

from typing import Any, Self, TypeAlias

import betterproto
from google.protobuf.message import Message

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

    @classmethod
    def of(cls, generated: type[betterproto.Message]) -> Self:
        """That of a generated class. Raises TypeError for any other."""
        upb = twin(generated)
        if upb is None:
            raise TypeError(f"{generated.__name__} is not a generated message")
        return cls(upb)

    def __call__(self) -> UpbRequest:
        """An empty message."""
        return self._upb()

    def __instancecheck__(self, instance: object) -> bool:
        return isinstance(instance, self._upb)

    def FromString(self, data: bytes) -> UpbRequest:
        """The message in `data`. Raises DecodeError."""
        return self._upb.FromString(data)
