"""The codec of our clients: generated messages, and upb ones where speed matters."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import DecodeError, Message
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from milvus_coord.wire.codec import WireCodec


class ClientCodec(WireCodec):
    """A WireCodec that also sends and reads upb messages; damage in a reply is INTERNAL."""

    def __init__(self) -> None:
        super().__init__(on_damage=Status.INTERNAL)

    def encode(self, message: Any, message_type: type[Any]) -> bytes:
        """Wire format of `message`."""
        if isinstance(message, Message):
            return message.SerializeToString()
        return super().encode(message, message_type)

    def decode(self, data: bytes, message_type: type[Any]) -> Any:
        """The `message_type` in `data`; raises GRPCError when it is damaged."""
        if not issubclass(message_type, Message):
            return super().decode(data, message_type)
        try:
            return message_type.FromString(data)
        except DecodeError as error:
            name = message_type.DESCRIPTOR.full_name
            raise GRPCError(Status.INTERNAL, f"malformed {name}: {error}") from error
