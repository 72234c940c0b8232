"""Message classes of the Milvus 2.2 wire interface, made by protobuf's own runtime."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_FOLDER = Path(__file__).parents[1]
_DESCRIPTORS = (
    _FOLDER / "tests/wire/data/milvus-2.2.16.protoset",
    _FOLDER / "milvus_coord/pb/descriptors.binpb",
)


@functools.cache
def _pool() -> descriptor_pool.DescriptorPool:
    stored = next(path for path in _DESCRIPTORS if path.exists())
    files = descriptor_pb2.FileDescriptorSet.FromString(stored.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(descriptor_pb2.DESCRIPTOR.serialized_pb)
    for file in files.file:
        pool.Add(file)
    return pool


@functools.cache
def message_class(name: str) -> Any:
    """The class of `milvus.proto.<name>`, e.g. `rootcoord.AllocIDRequest`. Raises KeyError."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"milvus.proto.{name}"))


def new(name: str, **fields: object) -> Any:
    """A message of `milvus.proto.<name>` with these fields set."""
    return message_class(name)(**fields)


@functools.cache
def method_types(method: str) -> tuple[Any, Any]:
    """Request and reply class of `rootcoord.RootCoord/AllocID`. Raises KeyError."""
    service, _, rpc = method.partition("/")
    found = _pool().FindServiceByName(f"milvus.proto.{service}").methods_by_name[rpc]
    return (
        message_factory.GetMessageClass(found.input_type),
        message_factory.GetMessageClass(found.output_type),
    )
