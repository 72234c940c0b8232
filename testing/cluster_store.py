"""What a rootcoord has left in etcd, in a form in which two stores can be compared.

Ids are replaced by names and times by what happened then, so equal statements leave equal stores.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any, Final

from google.protobuf.json_format import MessageToDict

from testing import messages
from testing.etcd import EtcdMember

META: Final = "by-dev/meta/"
_TOMBSTONE: Final = b"\xe2\x9b\xbc"
_SNAPSHOT: Final = re.compile(r"^snapshots/(.+)_ts(\d+)$")
_ID: Final = re.compile(r"\d{13,}")
_CHANNEL: Final = re.compile(r"(?<=rootcoord-dml_)\d+")
_INFOS: Final = "root-coord/database/collection-info/"
_NOT_METADATA: Final = ("session/", "ha/", "root-coord/ha/")  # who is there; ha is ours alone
_VALUES: Final = {
    "root-coord/database/db-info/": "etcd.DatabaseInfo",
    _INFOS: "etcd.CollectionInfo",
    "root-coord/partitions/": "etcd.PartitionInfo",
    "root-coord/fields/": "schema.FieldSchema",
    "root-coord/database/aliases/": "etcd.AliasInfo",
}
# Bytes that any two runs differ in; what is left of them is their kind.
_WALL_CLOCK: Final = "created_time"
_BCRYPT: Final = re.compile(r"\$2[ab]\$\d\d\$[./A-Za-z0-9]{53}")


async def read(etcd: EtcdMember) -> dict[str, bytes]:
    """Every key and its value."""
    answer = json.loads(await etcd.ctl("get", "by-dev", "--prefix", "-w=json"))
    return {
        base64.b64decode(pair["key"]).decode(): base64.b64decode(pair.get("value", ""))
        for pair in answer["kvs"]
    }


class Store:
    """The metadata below `by-dev/meta/`, and the snapshots of each key in the order of time."""

    def __init__(self, keys: dict[str, bytes]) -> None:
        self._plain: dict[str, bytes] = {}
        self._snapshots: dict[str, list[tuple[int, bytes]]] = {}
        for key, value in keys.items():
            short = key.removeprefix(META)
            if not key.startswith(META) or short.startswith(_NOT_METADATA):
                continue
            if found := _SNAPSHOT.match(short):
                self._snapshots.setdefault(found[1], []).append((int(found[2]), value))
            else:
                self._plain[short] = value
        for versions in self._snapshots.values():
            versions.sort()
        self._names = self._ids() | self._times()

    def comparable(self) -> dict[str, list[Any]]:
        """`{key: [plain value, first snapshot, ...]}` with names for ids, sorted by key.

        A snapshot is `[when, value]`; "missing" and "dropped" stand for themselves.
        """
        result = {}
        for key in sorted(self._plain | self._snapshots, key=self._renamed):
            plain = self._value(key, self._plain[key]) if key in self._plain else "missing"
            versions = self._snapshots.get(key, ())
            result[self._renamed(key)] = [
                plain,
                *([self._names[str(ts)], self._value(key, value)] for ts, value in versions),
            ]
        return result

    def _ids(self) -> dict[str, str]:
        """Names of databases, collections and partitions by id; a second of a name is `name'`."""
        names: dict[str, str] = {}
        for prefix, kind in (
            ("root-coord/database/db-info/", "etcd.DatabaseInfo"),
            (_INFOS, "etcd.CollectionInfo"),
            ("root-coord/partitions/", "etcd.PartitionInfo"),
        ):
            found: dict[int, tuple[str, Any]] = {}
            for key, versions in self._snapshots.items():
                values = [value for _, value in versions if value != _TOMBSTONE]
                if key.startswith(prefix) and values:
                    *_, above, own = key.split("/")
                    found[int(own)] = above, messages.message_class(kind).FromString(values[0])
            for number, (above, first) in sorted(found.items()):
                name = getattr(first, "partitionName", "") or getattr(first, "name", "")
                name = f"{names.get(above, '')}.{name or first.schema.name}".lstrip(".")
                while name in names.values():
                    name += "'"
                names.setdefault(str(number), name)
        return names

    def _times(self) -> dict[str, str]:
        """A name for each timestamp of a snapshot: the first key written then, and which time."""
        ids = self._ids()
        named: dict[str, str] = {}
        for key, versions in self._snapshots.items():
            readable = _ID.sub(lambda hit: ids.get(hit[0], "<an id>"), key)
            for number, (ts, _) in enumerate(versions, 1):
                name = f"<{readable.removeprefix('root-coord/')} {number}>"
                named[str(ts)] = min(named.get(str(ts), name), name)
        return named

    def _renamed(self, text: str) -> str:
        """Ids by name; channels, whose choice is free, by their order in this text."""
        channels: dict[str, str] = {}
        text = _ID.sub(lambda hit: self._names.get(hit[0], "<a number>"), text)
        return _CHANNEL.sub(lambda hit: channels.setdefault(hit[0], f"<{len(channels)}>"), text)

    def _value(self, key: str, value: bytes) -> Any:
        if value == _TOMBSTONE:
            return "dropped"
        for prefix, kind in _VALUES.items():
            if key.startswith(prefix):
                return self._message(messages.message_class(kind).FromString(value), value)
        return _BCRYPT.sub("<a hash>", value.decode(errors="backslashreplace"))

    def _message(self, message: Any, value: bytes) -> Any:
        """Its fields; nothing is left out: written again it is the same bytes."""
        assert message.SerializeToString(deterministic=True) == value, (message, value)
        fields = MessageToDict(message, preserving_proto_field_name=True)
        if message.DESCRIPTOR.name == "DatabaseInfo":
            fields[_WALL_CLOCK] = "<wall clock>"
        for position in fields.get("start_positions", ()):
            position["data"] = len(base64.b64decode(position["data"]))
        fields.get("start_positions", []).sort(key=str)
        fields.get("properties", []).sort(key=str)
        return json.loads(self._renamed(json.dumps(fields)))
