"""Whatever stands in a file, in a name or in a request: a value, or the one error of its reader."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, cast
from unittest.mock import patch

import pytest
from grpclib.exceptions import GRPCError
from grpclib.metadata import decode_metadata
from hypothesis import example, given
from hypothesis import strategies as st

import milvus_coord
from milvus_coord.cli import mirror_members
from milvus_coord.config import ConfigError, yaml_file
from milvus_coord.coordinators.rootcoord.access.catalog import AccessCatalog
from milvus_coord.coordinators.rootcoord.access.events import GranteePut
from milvus_coord.coordinators.rootcoord.collections.channels import pool_size
from milvus_coord.coordinators.rootcoord.metadata import catalog_keys
from milvus_coord.coordinators.rootcoord.metadata.catalog import Catalog
from milvus_coord.coordinators.rootcoord.metadata.catalog_snapshots import SnapshotKeys
from milvus_coord.coordinators.rootcoord.quota.rules_readings import BadReport, proxy_throughput
from milvus_coord.etcd.embedded.datadir import EtcdNotStarted, read_config
from milvus_coord.etcd.values import KeyValue
from milvus_coord.model.channels import CHANNELS_MAX, channel_index
from milvus_coord.model.errors import BadValue, Refused
from milvus_coord.role.rpcs.system_info import metric_type
from milvus_coord.rpc.server.dispatcher import deadline_of
from milvus_coord.rpc.server.guards import Guards
from milvus_coord.telemetry.httpconn import Connection, Limits
from milvus_coord.telemetry.web import Request, Response, Routes, json_line
from tests.unit.test_decoders import DIGITS, RAW, VALUES

WIDE: Final = "\uff18"
"""A digit to `int` and to `\\d`, and not to Milvus."""

NO_NUMBERS: Final = ("08", "1_0", " 8", "-8", WIDE, "9223372036854775808", "9" * 5000)
TEXTS: Final = (
    DIGITS
    | st.text(st.characters(), max_size=20)
    | st.sampled_from(["[" * 100_000, "\ud800", "", "0", *NO_NUMBERS, "x" * 70_000])
)


def nested(depth: int) -> str:
    return "{a: " * depth + "1" + "}" * depth


def laughs(levels: int, member: str) -> str:
    """Each level has the one before nine times."""
    lines = ["a0: &a0 {x: 1}"]
    lines += (
        f"a{level}: &a{level} {{{member % ', '.join([f'*a{level - 1}'] * 9)}}}"
        for level in range(1, levels)
    )
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[" * 100_000, "nests deeper"),
        ("- " * 100_000, "nests deeper"),
        ("{a: " * 20_000, "nests deeper"),
        (nested(900), "nests deeper"),
        (laughs(12, "<<: [%s]"), "more than 100000 values"),
        (laughs(12, "k: [%s]"), "more than 100000 values"),
        ("a: " + "x" * (1 << 20), "more than 1048576 bytes"),
        ("a: \0", "not YAML"),
    ],
)
def test_a_file_that_no_loader_should_be_given(tmp_path: Path, text: str, why: str) -> None:
    """Of the first libyaml used up the stack: the process ended with SIGSEGV."""
    file = tmp_path / "milvus.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=why):
        yaml_file.read(file)
    with pytest.raises(EtcdNotStarted, match=why):
        read_config(file)


@pytest.mark.parametrize("text", ["a: " + "9" * 5000, "a: 2026-99-99", "a: !!int x"])
def test_a_value_in_the_file_of_etcd_that_is_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "etcd.yaml"
    file.write_text(text)
    with pytest.raises(EtcdNotStarted, match="not YAML"):
        read_config(file)


@given(value=RAW | TEXTS.map(partial(str.encode, errors="replace")))
def test_any_file_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, value: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_bytes(value)
    for read, refusal in ((yaml_file.read, ConfigError), (read_config, EtcdNotStarted)):
        answered(partial(cast(Callable[[Path], object], read), file), refusal)


def answered(read: Callable[[], object], refusal: type[Exception]) -> None:
    try:
        read()
    except refusal as error:
        str(error).encode()


@pytest.mark.parametrize("value", [b"7" * 257, b"a/b", b"\xff", b""])
def test_a_grantee_id_that_can_be_no_part_of_a_key(value: bytes) -> None:
    """With one of a megabyte the default grants were more than etcd takes: nobody could lead."""
    key = b"by-dev/meta/root-coord/credential/grantee-privileges/public/Global/*.*"
    event = AccessCatalog("by-dev/meta").event(key, value)
    assert isinstance(event, GranteePut)
    assert event.id == ""


@pytest.mark.parametrize("digits", ["9" * 5000, "999999999999", "65536", "", WIDE, "-1"])
def test_a_channel_that_no_pool_has(digits: str) -> None:
    """One of 5,000 digits ended each process that began to lead, one of 12 held it for ever."""
    assert channel_index(f"by-dev-rootcoord-dml_{digits}") is None
    assert pool_size(16, [f"by-dev-rootcoord-dml_{digits}"]) == 16


def test_the_last_channel_of_the_largest_pool() -> None:
    assert channel_index(f"x_{CHANNELS_MAX - 1}") == CHANNELS_MAX - 1


@pytest.mark.parametrize("number", NO_NUMBERS)
@pytest.mark.parametrize("place", ["fields/7", "partitions/7", "database/db-info", "collection"])
def test_a_number_in_a_key_is_as_milvus_writes_it(place: str, number: str) -> None:
    """Deleting `fields/7/08` deletes no field 8."""
    with pytest.raises(BadValue, match="no key that Milvus writes"):
        catalog_keys.key_event(f"root-coord/{place}/{number}")
    key = f"by-dev/meta/root-coord/{place}/{number}".encode()
    assert Catalog("by-dev/meta").event(key, None) is None


@given(parts=st.lists(TEXTS | st.sampled_from(["fields", "partitions", "aliases"]), max_size=5))
def test_any_key_is_read_or_refused(parts: list[str]) -> None:
    answered(lambda: catalog_keys.key_event("/".join(["root-coord", *parts])), BadValue)
    key = "/".join(["by-dev/meta/snapshots/root-coord", *parts, "x_ts"])
    for digits in (b"7", b"9" * 5000, b"1_0", WIDE.encode()):
        version = SnapshotKeys("by-dev/meta").parse(
            KeyValue(key.encode(errors="replace") + digits, b"", 1, 1, 1, 0)
        )
        assert (version is not None) == (digits == b"7")


@given(request=TEXTS | VALUES.map(lambda value: json.dumps({"metric_type": value})))
def test_any_request_of_metrics_is_read_or_refused(request: str) -> None:
    try:
        metric_type(request).encode()
    except Refused as error:
        str(error)


@pytest.mark.parametrize("rate", ["NaN", "Infinity", "1e999", "9" * 400])
def test_a_rate_that_json_does_not_have(rate: str) -> None:
    with pytest.raises(BadReport):
        proxy_throughput(f'{{"quota_metrics": {{"Rms": [{{"Label": "x", "Rate": {rate}}}]}}}}')


@pytest.mark.parametrize(
    "text", ["9" * 9 + "S", "9" * 300 + "H", "9" * 5000 + "n", "", "1", f"{WIDE}S"]
)
def test_a_timeout_that_grpc_does_not_have(text: str) -> None:
    with pytest.raises(GRPCError, match="malformed grpc-timeout"):
        deadline_of([("grpc-timeout", "1S"), ("grpc-timeout", text)])


@given(
    headers=st.lists(
        st.tuples(
            st.sampled_from(["grpc-timeout", "x-bin", "x", "cluster", "serverid", "uber-trace-id"]),
            TEXTS | st.from_regex(r"[0-9]{1,10}[HMSmun]", fullmatch=True),
        ),
        max_size=4,
    )
)
def test_any_headers_are_read_or_refused(headers: list[tuple[str, str]]) -> None:
    answered(lambda: deadline_of(headers), GRPCError)
    metadata = decode_metadata([header for header in headers if header[0] != "x-bin"])
    guards = Guards(cluster="by-dev", server_id=lambda: 7)
    answered(lambda: guards.check(metadata), GRPCError)


class Writer:
    """A writer of asyncio that sends nothing."""

    def __init__(self) -> None:
        self.sent = bytearray()
        self.transport = self
        self.write = self.sent.extend

    def set_write_buffer_limits(self, **_: int) -> None: ...
    def close(self) -> None: ...
    def write_eof(self) -> None: ...
    async def drain(self) -> None: ...

    def get_extra_info(self, _: str) -> tuple[str, int]:
        return ("127.0.0.1", 1)


async def echo(request: Request) -> Response:
    return json_line({"path": request.path, "query": request.query, "headers": request.headers})


ROUTES: Final[Routes] = {"/echo": {"GET": echo, "PUT": echo}}
METHODS: Final = [b"GET", b"PUT", b"HEAD", b"\xff", b"X" * 300]
TARGETS: Final = [b"/echo?a=%ff%00", b"/echo?" + b"a&" * 5000, b"*", b"http://[", b"/%ud800"]
HEADERS: Final = [b"Content-Length", b"Transfer-Encoding", b"Expect", b"Connection", b"\x00"]
CONTENTS: Final = [b"chunked", b"100-continue", b"upgrade", b"5"]
BODIES: Final = [b"f" * 5000, b"5\r\nhello\r\n0\r\n\r\n", b"hello" * 20_000]
HTTP: Final = st.binary(max_size=200) | st.builds(
    lambda *parts: b"%s %s HTTP/1.1\r\nHost: x\r\n%s: %s\r\n\r\n%s" % parts,
    st.sampled_from(METHODS),
    st.binary(max_size=20) | st.sampled_from(TARGETS),
    st.sampled_from(HEADERS),
    st.binary(max_size=20) | DIGITS.map(str.encode) | st.sampled_from(CONTENTS),
    st.binary(max_size=30) | DIGITS.map(str.encode) | st.sampled_from(BODIES),
)


@example(sent=b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n\0")
@given(sent=HTTP)
def test_any_bytes_on_the_management_port_are_answered_or_cut_off(sent: bytes) -> None:
    async def serve(writer: Writer) -> None:
        reader = asyncio.StreamReader()
        reader.feed_data(sent)
        reader.feed_eof()
        await Connection(reader, cast(Any, writer), ROUTES, Limits()).run()

    writer = Writer()
    with patch("milvus_coord.telemetry.httpconn.log") as log:
        asyncio.run(serve(writer))
    assert not log.error.called
    assert re.match(rb"HTTP/1\.1 [1-5]\d\d ", writer.sent) or not writer.sent


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"revision": 1e999}', b'{"revision": NaN}', b"[]", b"\xff"]
)
async def test_an_odd_answer_of_a_member_is_no_answer(
    monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    monkeypatch.setattr(mirror_members, "_fetch", lambda *_: ({}, body))
    with pytest.raises(mirror_members.NotAsked):
        await mirror_members.ask_digest(mirror_members.Member("7", "active", "h:1"))


READERS: Final = re.compile(
    r"json\.loads|FromString\(|from_bytes\(|safe_load|get_single_node|unpack(_from)?\("
)
TRIED: Final[dict[str, str]] = {
    "allocator/window.py": "test_decoders",
    "cli/demo_instance.py": "the answer of an instance that the demo has started",
    "cli/mirror_members.py": "here",
    "cli/output.py": "what it has written itself",
    "clients/codec.py": "replies, whose errors become RpcError; tests/contract",
    "clients/datacoord.py": "builds a request",
    "config/yaml_file.py": "here",
    "coordinators/rootcoord/access/catalog.py": "test_decoders, by the image",
    "coordinators/rootcoord/imports/catalog.py": "test_decoders",
    "coordinators/rootcoord/metadata/catalog_values.py": "test_decoders, by the image",
    "coordinators/rootcoord/quota/rules_readings.py": "test_decoders and here",
    "etcd/embedded/datadir.py": "here",
    "etcd/embedded/server.py": "answers of etcd",
    "ha/mirror/records.py": "a digest",
    "ha/pair/json_record.py": "test_decoders",
    "ha/pair/session_record.py": "test_decoders",
    "role/rpcs/system_info.py": "here",
    "rpc/heartbeat/reader.py": "tests/contract/test_rpc_beats",
    "rpc/http2/unary.py": "tests/contract/test_rpc_channel_http2",
    "telemetry/endpoints.py": "test_telemetry_endpoints",
    "wire/codec.py": "tests/wire",
    "wire/descriptors.py": "our own descriptors",
    "wire/requests.py": "tests/wire",
    "wire/schema.py": "tests/wire",
}


def test_every_module_that_reads_bytes_of_others_is_tried() -> None:
    package = Path(milvus_coord.__file__).parent
    found = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if "pb" not in path.relative_to(package).parts and READERS.search(path.read_text("utf-8"))
    }
    assert found == TRIED.keys()
