"""protos/ against the interface read off the released 2.2.16 binary, and pb/ against protos/."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.message import Message

from milvus_coord.wire.descriptors import message_class, pool

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "data" / "milvus-2.2.16.protoset"
OURS = {"coord_health.proto"}  # between our own processes, no part of Milvus
FILES = sorted({path.name for path in (ROOT / "protos").iterdir()} - OURS)

Files = dict[str, descriptor_pb2.FileDescriptorProto]


@pytest.fixture(scope="module")
def golden() -> Files:
    return load(GOLDEN)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Files:
    target = tmp_path_factory.mktemp("protos") / "set.binpb"
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", "-Iprotos", f"--descriptor_set_out={target}"]
        + [f"protos/{name}" for name in FILES],
        cwd=ROOT,
        check=True,
        timeout=50,
    )
    return load(target)


def load(path: Path) -> Files:
    files = descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes()).file
    return {file.name: plain(file) for file in files if file.package.startswith("milvus.")}


def plain(file: descriptor_pb2.FileDescriptorProto) -> descriptor_pb2.FileDescriptorProto:
    """Without what is not the interface: source positions, JSON names, options that say nothing."""
    file.ClearField("source_code_info")
    for extension in file.extension:
        extension.ClearField("json_name")
    for message in every_message(file.message_type):
        for field in message.field:
            field.ClearField("json_name")
    for service in file.service:
        for method in service.method:
            if not method.options.ByteSize():
                method.ClearField("options")
    return file


def every_message(
    messages: Iterable[descriptor_pb2.DescriptorProto],
) -> Iterator[descriptor_pb2.DescriptorProto]:
    for message in messages:
        yield message
        yield from every_message(message.nested_type)


def test_the_ten_files(golden: Files, compiled: Files) -> None:
    assert FILES == sorted(golden) == sorted(compiled)
    assert len(FILES) == 10


@pytest.mark.parametrize("part", ["message_type", "enum_type", "service", "extension"])
@pytest.mark.parametrize("name", FILES)
def test_each_descriptor_is_the_binary_s(
    golden: Files, compiled: Files, name: str, part: str
) -> None:
    expected = {each.name: each for each in getattr(golden[name], part)}
    got = {each.name: each for each in getattr(compiled[name], part)}
    assert list(got) == list(expected)
    for each, theirs in expected.items():
        assert same(got[each], theirs), f"{each}: {got[each]}\nis not {theirs}"


@pytest.mark.parametrize("name", FILES)
def test_each_file_is_the_binary_s(golden: Files, compiled: Files, name: str) -> None:
    assert same(compiled[name], golden[name])


def same(ours: Message, theirs: Message) -> bool:
    # The bytes as well: extensions such as privilege_ext_obj are unknown fields to ==.
    return ours == theirs and ours.SerializeToString() == theirs.SerializeToString()


def test_comparison_notices(golden: Files, compiled: Files) -> None:
    changed = descriptor_pb2.FileDescriptorProto()
    changed.CopyFrom(compiled["milvus.proto"])
    create = next(m for m in changed.message_type if m.name == "CreateCollectionRequest")
    assert create.options.ByteSize()
    create.options.Clear()
    assert not same(changed, golden["milvus.proto"])
    changed.CopyFrom(compiled["data_coord.proto"])
    task = next(m for m in changed.message_type if m.name == "ImportTaskInfo")
    next(f for f in task.field if f.options.deprecated).options.Clear()
    assert not same(changed, golden["data_coord.proto"])
    changed.CopyFrom(compiled["common.proto"])
    changed.message_type[0].field[0].number += 100
    assert not same(changed, golden["common.proto"])


def test_the_shipped_descriptors_are_those_of_protos(compiled: Files) -> None:
    shipped = load(ROOT / "milvus_coord" / "pb" / "descriptors.binpb")
    assert sorted(shipped) == sorted(compiled)
    for name, file in shipped.items():
        assert same(file, compiled[name]), f"{name}: run scripts/gen-protos"


def test_privileges_are_in_the_pool() -> None:
    extension: Any = pool().FindExtensionByName("milvus.proto.common.privilege_ext_obj")
    request = message_class("milvus.proto.milvus.CreateCollectionRequest").DESCRIPTOR
    # The pool's own MessageOptions knows the extension, protobuf's own does not.
    options = message_class("google.protobuf.MessageOptions")()
    options.ParseFromString(request.GetOptions().SerializeToString())
    privilege: Any = options.Extensions[extension]
    assert privilege.object_privilege == 1
    assert privilege.object_name_index == -1


def test_unknown_message_is_named() -> None:
    with pytest.raises(KeyError, match=r"milvus\.proto\.data\.Nothing"):
        message_class("milvus.proto.data.Nothing")
