"""The session record: the JSON under every session key, of coordinators and of nodes."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from milvus_coord.ha.pair.json_record import BYTES_MAX, INT64_MAX, SHOWN
from milvus_coord.model.errors import BadValue
from milvus_coord.runtime.processes import ProcessIdentity

T = TypeVar("T")

MILVUS_VERSION: Final = "2.2.16"


_HOST_PORT: Final = re.compile(r"[0-9A-Za-z._:%\[\]-]{1,255}:[0-9]{1,5}")
_SEMVER: Final = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?"
)


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """Who a process of the cluster is, as Go 2.2.16 writes it.

    `stopping` is read only: a node sets it when it stops gracefully, a coordinator never does.
    `fenced` and `process` are our own extra fields, which Go ignores: the first says that its
    holder guards every write by the active key, so it may be replaced while it lives; the second
    tells a standby on the same machine which process to watch.
    """

    server_id: int
    server_name: str
    address: str
    version: str = MILVUS_VERSION
    stopping: bool = False
    fenced: bool = False
    process: ProcessIdentity | None = None

    def encode(self) -> bytes:
        """Compact JSON; fields in Go's order, ours after them."""
        fields: dict[str, object] = {
            "ServerID": self.server_id,
            "ServerName": self.server_name,
            "Address": self.address,
            "Exclusive": True,
            "TriggerKill": True,
            "Version": self.version,
        }
        if self.fenced:
            fields["Fenced"] = True
        if self.process is not None:
            fields["Process"] = self.process.fields()
        return json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()

    @classmethod
    def decode(cls, key: bytes, value: bytes) -> SessionRecord:
        """Read what Go or we wrote under `key`. Raises BadValue that names key and value."""
        try:
            if len(value) > BYTES_MAX:
                raise ValueError(f"{len(value)} bytes")
            fields = json.loads(value)
            return cls(
                server_id=_server_id(_typed(fields, "ServerID", int, 0)),
                server_name=_typed(fields, "ServerName", str, ""),
                address=_typed(fields, "Address", str, ""),
                version=_version(_typed(fields, "Version", str, "")),
                stopping=_typed(fields, "Stopping", bool, False),
                fenced=_typed(fields, "Fenced", bool, False),
                process=ProcessIdentity.from_fields(fields.get("Process")),
            )
        except (ValueError, TypeError, RecursionError) as error:
            name = key[:SHOWN].decode(errors="replace")
            raise BadValue(f"{name} holds no session: {value[:SHOWN]!r} ({error})") from error

    @classmethod
    def decode_callable(cls, key: bytes, value: bytes) -> SessionRecord:
        """As `decode`, of a process to be called: its address must be `host:port`, too."""
        record = cls.decode(key, value)
        if not _HOST_PORT.fullmatch(record.address):
            name = key[:SHOWN].decode(errors="replace")
            raise BadValue(
                f"{name} holds no session: Address {record.address[:SHOWN]!r} is not host:port"
            )
        return record

    @classmethod
    def of(cls, key: bytes, value: bytes) -> SessionRecord | None:
        """The session under `key`, or None where `decode` raises."""
        try:
            return cls.decode(key, value)
        except BadValue:
            return None


def _typed(fields: Any, name: str, kind: type[T], default: T) -> T:
    """Field `name` of a decoded JSON object, or `default` when it is absent."""
    if not isinstance(fields, dict):
        raise TypeError("not a JSON object")
    value = fields.get(name, default)
    if type(value) is not kind:
        raise TypeError(f"{name} is {type(value).__name__}, not {kind.__name__}")
    if isinstance(value, str):
        value.encode()  # JSON can escape half a character
    return value


def _server_id(number: int) -> int:
    if not 0 <= number <= INT64_MAX:
        raise ValueError(f"ServerID {number} is no int64 from 0 up")
    return number


def _version(text: str) -> str:
    """Go reads an empty version as 0.0.0 and fails on anything that is no strict semver."""
    if text and not _SEMVER.fullmatch(text):
        raise ValueError(f"Version {text!r} is not X.Y.Z")
    return text
