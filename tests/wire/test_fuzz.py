from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2

from milvus_coord.pb.milvus.proto.common import Status
from milvus_coord.pb.milvus.proto.data import ImportTaskInfo
from milvus_coord.pb.milvus.proto.rootcoord import AllocIdResponse
from milvus_coord.pb.milvus.proto.schema import FieldData, ScalarField
from tests.wire.messages import generated_types, names_by_number, upb_of

DATA = Path(__file__).parent / "data"
ROOT = Path(__file__).parents[2]

#: What betterproto 2.0.0b7 does wrong when its rust codec is not installed.
PURE_FLAWS = {
    "a negative enum number is read as unsigned": r"read: .*: -1 \w+\.None",
    "a map entry of '' to '' is not written": r"(reread|built): blank map entry lost",
}


def fuzz(*, rust: bool, seed: int, rounds: int) -> list[str]:
    blocked = "" if rust else "sys.modules['betterproto_rust_codec'] = None; "
    program = f"import sys; {blocked}from tests.wire import fuzz; fuzz.main()"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, str(seed), str(rounds)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    assert answer["rust"] is rust
    differences: list[str] = answer["differences"]
    return differences


def run_pure(program: str) -> str:
    prelude = "import sys; sys.modules['betterproto_rust_codec'] = None; "
    return subprocess.check_output(
        [sys.executable, "-c", prelude + program], cwd=ROOT, text=True, timeout=50
    ).strip()


@pytest.mark.skipif(
    importlib.util.find_spec("betterproto_rust_codec") is None, reason="the speed extra"
)
def test_every_message_both_ways_with_the_rust_codec() -> None:
    assert fuzz(rust=True, seed=20161, rounds=6) == []


def test_every_message_both_ways_in_pure_python() -> None:
    flaws = list(PURE_FLAWS.values())
    unexpected = [
        line
        for line in fuzz(rust=False, seed=20162, rounds=4)
        if not any(re.search(flaw + "$", line) for flaw in flaws)
    ]
    assert unexpected == []


def test_the_codec_in_pure_python() -> None:
    program = (
        "import pytest; pytest.main(['-q', '-p', 'no:cacheprovider', 'tests/wire/test_codec.py'])"
    )
    summary = run_pure(program).rpartition("\n")[2]
    assert re.fullmatch(r"[1-9]\d+ passed in .*", summary), summary


def test_pure_flaw_negative_enum() -> None:
    program = (
        "from milvus_coord.pb.milvus.proto.common import Status; "
        "print(int(Status.FromString(bytes.fromhex('08ffffffffffffffffff01')).error_code))"
    )
    assert run_pure(program) == str(2**64 - 1)


def test_pure_flaw_blank_map_entry() -> None:
    program = (
        "from milvus_coord.pb.milvus.proto.common import ClientInfo; "
        "print(ClientInfo(reserved={'': '', 'a': ''}).SerializeToString().hex())"
    )
    assert run_pure(program) == "32030a0161"


def test_flaw_of_both_an_empty_message_given_by_keyword_is_not_sent() -> None:
    assert bytes(AllocIdResponse(status=Status())) == b""
    program = (
        "from milvus_coord.pb.milvus.proto.common import Status; "
        "from milvus_coord.pb.milvus.proto.rootcoord import AllocIdResponse; "
        "print(bytes(AllocIdResponse(status=Status())))"
    )
    assert run_pure(program) == "b''"


def test_a_generated_class_for_every_message() -> None:
    golden = descriptor_pb2.FileDescriptorSet.FromString(
        (DATA / "milvus-2.2.16.protoset").read_bytes()
    )
    expected = {
        f"{file.package}.{message.name}"
        for file in golden.file
        if file.package.startswith("milvus.")
        for message in file.message_type
    }
    types = generated_types()
    assert {upb_of(each).DESCRIPTOR.full_name for each in types} == expected
    assert len(types) == len(expected) == 407


def test_every_field_has_its_number() -> None:
    for each in generated_types():
        assert set(names_by_number(each)) == set(upb_of(each).DESCRIPTOR.fields_by_number)


def test_oneof_member_that_is_not_set_cannot_be_read() -> None:
    field = FieldData(scalars=ScalarField())
    with pytest.raises(AttributeError, match="'vectors'"):
        _ = field.vectors


def test_the_only_deprecated_field_warns_when_given() -> None:
    with pytest.warns(DeprecationWarning, match=r"ImportTaskInfo\.request_id"):
        ImportTaskInfo(request_id=1)
