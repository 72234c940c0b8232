"""The wire interface as protobuf descriptors, and the fast (upb) message classes made from them."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

from google.protobuf import descriptor_pb2, message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message

from milvus_coord import pb

_GENERATED = pb.__name__ + "."


@cache
def pool() -> DescriptorPool:
    """Every file of protos/, loaded on first use into a pool of its own (a few ms)."""
    own = DescriptorPool()
    own.AddSerializedFile(descriptor_pb2.DESCRIPTOR.serialized_pb)
    for file in _files():
        own.AddSerializedFile(file.SerializeToString())
    return own


@cache
def message_class(full_name: str) -> type[Message]:
    """The upb class of a message such as `milvus.proto.data.SegmentInfo`.

    Bulk data belongs here: it is parsed some hundred times faster than by the generated class.
    Raises KeyError when protos/ has no such message.
    """
    return message_factory.GetMessageClass(pool().FindMessageTypeByName(full_name))


def twin(message_type: type[Any]) -> type[Message] | None:
    """The upb class of the same message as the generated class `message_type`.

    None for a class that is not from milvus_coord.pb.
    """
    return _twin(message_type.__module__, message_type.__name__)


def has_status(message_type: type[Message]) -> bool:
    """Whether the message has a field `status` of the type Status."""
    field = message_type.DESCRIPTOR.fields_by_name.get("status")
    return (
        field is not None
        and field.message_type is not None
        and field.message_type.full_name == "milvus.proto.common.Status"
    )


@cache
def _twin(module: str, name: str) -> type[Message] | None:
    if not module.startswith(_GENERATED):
        return None
    return message_class(_names()[module.removeprefix(_GENERATED), name.lower()])


@cache
def _files() -> tuple[descriptor_pb2.FileDescriptorProto, ...]:
    data = resources.files(pb).joinpath("descriptors.binpb").read_bytes()
    return tuple(descriptor_pb2.FileDescriptorSet.FromString(data).file)


@cache
def _names() -> dict[tuple[str, str], str]:
    # The generator changes only the case of a message's name: AllocIDRequest, AllocIdRequest.
    return {
        (file.package, message.name.lower()): f"{file.package}.{message.name}"
        for file in _files()
        for message in file.message_type
    }
