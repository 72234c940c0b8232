"""One unary call as a client sees it: what is sent, what came back, and how it failed."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from grpclib.const import Status
from grpclib.metadata import decode_grpc_message

Headers: TypeAlias = list[tuple[bytes, bytes]]

#: What a Go client of 2.2.16 takes at most.
REPLY_MAX_BYTES: Final = 256 << 20

_PREFIX: Final = struct.Struct(">?I")
_TIMEOUT_MAX_MS: Final = 99_999_999
_USER_AGENT: Final = "grpc-python-milvus-coord"
_HTTP: Final = {
    "400": Status.INTERNAL,
    "401": Status.UNAUTHENTICATED,
    "403": Status.PERMISSION_DENIED,
    "404": Status.UNIMPLEMENTED,
    "429": Status.UNAVAILABLE,
    "502": Status.UNAVAILABLE,
    "503": Status.UNAVAILABLE,
    "504": Status.UNAVAILABLE,
}


class RpcError(Exception):
    """A call did not succeed; `code` is the gRPC status, UNAVAILABLE when nobody answered.

    `unseen`: the request certainly reached no handler, so repeating it can do nothing twice.
    """

    def __init__(self, address: str, code: Status, message: str, *, unseen: bool = False) -> None:
        super().__init__(f"{address}: {code.name}: {message}")
        self.address, self.code, self.message, self.unseen = address, code, message, unseen


@dataclass(slots=True)
class Answer:
    """What the server has sent so far; complete once the connection hands it out."""

    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    trailers: Mapping[str, str] = field(default_factory=dict)


def request_headers(
    method: str, *, authority: str, scheme: str, metadata: Mapping[str, str]
) -> Headers:
    """The headers that every call of `method` (`/package.Service/Method`) has in common."""
    headers = {
        ":method": "POST",
        ":scheme": scheme,
        ":path": method,
        ":authority": authority,
        "te": "trailers",
        "content-type": "application/grpc",
        "user-agent": _USER_AGENT,
        **metadata,
    }
    return [(name.encode(), value.encode()) for name, value in headers.items()]


def timeout_header(timeout_s: float) -> tuple[bytes, bytes]:
    """How long the server may take, for it to give up when we do, or a little later.

    Rounded up to few values, so that their header blocks are found again.
    """
    step_ms = 100 if timeout_s > 1 else 1
    steps = max(1, math.ceil(timeout_s * 1000 / step_ms))
    return b"grpc-timeout", b"%dm" % min(steps * step_ms, _TIMEOUT_MAX_MS)


def framed(message: bytes) -> bytes:
    """`message` behind gRPC's prefix of five bytes."""
    return _PREFIX.pack(False, len(message)) + message


def payload(answer: Answer, address: str) -> bytes:
    """The one message of a successful answer. Raises RpcError for every other answer."""
    code, text = _verdict(answer)
    if code is not Status.OK:
        raise RpcError(address, code, text)
    body = answer.body
    if not body:
        raise RpcError(address, Status.INTERNAL, "status OK without a reply")
    if len(body) < _PREFIX.size:
        raise RpcError(address, Status.INTERNAL, f"a reply of {len(body)} bytes has no prefix")
    compressed, size = _PREFIX.unpack_from(body)
    if compressed:
        raise RpcError(address, Status.UNIMPLEMENTED, "the reply is compressed")
    if size != len(body) - _PREFIX.size:
        raise RpcError(
            address,
            Status.INTERNAL,
            f"a reply of {size} bytes came with {len(body) - _PREFIX.size}",
        )
    return bytes(memoryview(body)[_PREFIX.size :])


def header_map(headers: Iterable[tuple[str | bytes, str | bytes]]) -> dict[str, str]:
    """Headers as h2 gives them, by name."""
    return {_text(name): _text(value) for name, value in headers}


def _verdict(answer: Answer) -> tuple[Status, str]:
    http = answer.headers.get(":status", "")
    ending = answer.trailers if "grpc-status" in answer.trailers else answer.headers
    number = ending.get("grpc-status")
    if number is None:
        if http != "200":
            return _HTTP.get(http, Status.UNKNOWN), f"HTTP status {http!r}"
        return Status.UNKNOWN, "the reply has no grpc-status"
    try:
        code = Status(int(number))
    except ValueError:
        return Status.UNKNOWN, f"grpc-status is {number[:20]!r}"
    return code, decode_grpc_message(ending.get("grpc-message", ""))


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")
