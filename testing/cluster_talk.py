"""Conversations with a rootcoord that are written down so that two of them can be compared."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.json_format import MessageToDict

from testing import messages
from testing.cluster_peers import Peers, Told
from testing.grpc_wire import RpcFailed, unary

SERVICE: Final = "rootcoord.RootCoord"
# What a rootcoord says to others before it answers; the rest comes when it comes.
AT_ONCE: Final = (
    "proxy.Proxy/InvalidateCollectionMetaCache",
    "data.DataCoord/WatchChannels",
    "data.DataCoord/BroadcastAlteredCollection",
)
REFUSED: Final = "connection refused"
_LONG_NUMBER: Final = re.compile(r"\d{13,}")
_SKIPPED: Final = "<differs>"
# Any two runs differ here, by the name above it: positions in the queue, wall clocks.
_DIFFER: Final = {"start_positions": "data", "tasks": "create_ts", "reply": "create_ts"}
_CHANNEL: Final = re.compile(r"(?<=rootcoord-dml_)\d+")
# Texts of the library that could not read something.
_LIBRARY: Final = re.compile(
    r"(?<=failed to decode the request: ).+|proto:.cannot parse .+|the schema cannot be parsed: .+"
)
# Parallel lists in any order, sorted by the first.
_UNORDERED: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "ShowCollectionsResponse": (
        ("collection_names", "collection_ids", "created_timestamps", "created_utc_timestamps"),
    ),
    "ShowPartitionsResponse": (
        ("partition_names", "partitionIDs", "created_timestamps", "created_utc_timestamps"),
    ),
    "DescribeCollectionResponse": (("aliases",), ("properties",), ("start_positions",)),
    "ListDatabasesResponse": (("db_names",),),
    "ListCredUsersResponse": (("usernames",),),
    "SelectRoleResponse": (("results",),),
    "SelectUserResponse": (("results",),),
    "RoleResult": (("users",),),
    "UserResult": (("roles",),),
    "SelectGrantResponse": (("entities",),),
    "ListPolicyResponse": (("policy_infos",), ("user_roles",)),
    "ShowConfigurationsResponse": (("configuations",),),
    "AlterCollectionRequest": (("properties",), ("start_positions",)),
    "WatchChannelsRequest": (("start_positions",),),
}
_UNORDERED_WORDS: Final = re.compile(r"(?<=object types: \[)[\w ]+")


@dataclass(frozen=True, slots=True)
class Exchange:
    """One question, its answer, and what others were told before it, as plain values."""

    rpc: str
    case: str
    reply: Any
    told: tuple[Any, ...] = ()


class Talk:
    """Asks one rootcoord; ids and times are named after where they appeared first.

    With `exact` they stay what they are, and fields are sorted: Go has them in another order after
    it has read them than after it has made them.

    Attributes:
        exchanges: what was said up to now.
    """

    def __init__(self, address: str, peers: Peers, *, exact: bool = False) -> None:
        self.peers = peers
        self.exchanges: list[Exchange] = []
        self.address = address
        self._exact = exact
        self._names = _Names()

    async def ask(self, case: str, rpc: str, **fields: Any) -> Any:
        """The reply message, or the failure as a value; `base.msg_type` is right if not given."""
        method = f"{SERVICE}/{rpc}"
        if "base" in messages.method_types(method)[0].DESCRIPTOR.fields_by_name:
            fields.setdefault("base", {"msg_type": _msg_type(rpc)})
        before = len(self.peers.told)
        self._names.at(f"{rpc} {case}")
        reply: Any
        try:
            reply = await unary(self.address, method, timeout_s=20.0, **fields)
            plain = self.plain(reply)
        except RpcFailed as failure:
            reply, plain = failure, f"gRPC error, {failure}"
        except ConnectionRefusedError as failure:
            reply, plain = failure, REFUSED
        heard = [told for told in self.peers.heard(before) if told.method in AT_ONCE]
        told = tuple(self.told(one) for one in sorted(heard, key=lambda one: one.method))
        self.exchanges.append(Exchange(rpc, case, plain, told))
        return reply

    def told(self, one: Told) -> Any:
        """A call to another component as a plain value; of its base they read the type only."""
        request = type(one.request).FromString(one.request.SerializeToString())
        if "base" in request.DESCRIPTOR.fields_by_name:
            kind = request.base.msg_type
            request.ClearField("base")
            if kind:
                request.base.msg_type = kind
        plain = self.plain(request)
        if "partitionIDs" in plain:  # of an altered collection: in Go as many zeros come first
            plain["partitionIDs"] = [one for one in plain["partitionIDs"] if one != "0"]
        return {one.method: plain}

    def plain(self, message: Any) -> Any:
        """A message as maps and lists, without what any two runs differ in."""
        return self._cleaned(_sorted(message))

    def _renamed(self, text: str) -> str:
        return text if self._exact else self._names(text)

    def _cleaned(self, value: Any, under: str = "reply") -> Any:
        if isinstance(value, dict):
            return {
                key: _SKIPPED if _DIFFER.get(under) == key else self._cleaned(item, key)
                for key, item in value.items()
            }
        if isinstance(value, list):
            if under == "fields" and self._exact:
                value = sorted(value, key=lambda field: int(field.get("fieldID", 0)))
            return [self._cleaned(item, under) for item in value]
        if isinstance(value, str):
            return self._renamed(_LIBRARY.sub("<its text>", _UNORDERED_WORDS.sub(_in_order, value)))
        return value


class _Names:
    """Gives long numbers in texts a name each, after where they were first seen; channels too.

    Which channel of the pool a collection gets is free: Go counts what failed statements took.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[re.Pattern[str], str], str] = {}
        self._at, self._count = "", 0

    def at(self, place: str) -> None:
        """What is seen from now on is seen there."""
        self._at, self._count = place, 0

    def __call__(self, text: str) -> str:
        return _CHANNEL.sub(self._name, _LONG_NUMBER.sub(self._name, text))

    def _name(self, found: re.Match[str]) -> str:
        key = (found.re, found[0])
        if key not in self._known:
            self._count += 1
            self._known[key] = f"<{self._at} {self._count}>"
        return self._known[key]


def rpcs() -> list[str]:
    """The names of all RPCs of rootcoord."""
    pool = messages.message_class("common.Status").DESCRIPTOR.file.pool
    return sorted(one.name for one in pool.FindServiceByName(f"milvus.proto.{SERVICE}").methods)


def _msg_type(rpc: str) -> int:
    """The number of e.g. `CreateCollection`, 0 for what has no type of its own."""
    values = messages.message_class("common.MsgBase").DESCRIPTOR.fields_by_name["msg_type"]
    found = values.enum_type.values_by_name.get(rpc.removesuffix("Internal"))
    if rpc == "UpdateChannelTimeTick":
        found = values.enum_type.values_by_name["TimeTick"]
    return int(found.number) if found else 0


def _in_order(words: re.Match[str]) -> str:
    return " ".join(sorted(words[0].split()))


def _sorted(message: Any) -> Any:
    """MessageToDict with the lists that have no order in a fixed one."""
    value = MessageToDict(message, preserving_proto_field_name=True)
    _sort(message.DESCRIPTOR, value)
    _relate(value)
    if message.DESCRIPTOR.name == "CheckHealthResponse" and value.get("status") == {}:
        del value["status"]  # Go leaves it out, which means success too
    if message.DESCRIPTOR.name == "GetMetricsResponse" and message.response:
        value["response"] = _types(json.loads(message.response))
    return value


def _types(value: Any, key: str = "") -> Any:
    """Instead of values, which are this machine's; Go's clients want each type as it is."""
    if isinstance(value, dict):
        return {key: _types(item, key) for key, item in value.items()}
    return "float" if key == "cpu_core_usage" else type(value).__name__  # 0.0 is written as 0


def _relate(value: dict[str, Any]) -> None:
    """Say that milliseconds are those of the timestamp beside them: two of them may coincide."""
    for plural in ("", "s"):
        times = value.get(f"created_timestamp{plural}")
        milliseconds = value.get(f"created_utc_timestamp{plural}")
        if times and milliseconds == _milliseconds(times):
            value[f"created_utc_timestamp{plural}"] = "<the milliseconds of it>"


def _milliseconds(times: Any) -> Any:
    if isinstance(times, list):
        return [_milliseconds(one) for one in times]
    return str(int(times) >> 18)


def _sort(descriptor: Any, value: dict[str, Any]) -> None:
    for name, item in value.items():
        inner = descriptor.fields_by_name[name].message_type
        if inner is not None and isinstance(item, dict):
            _sort(inner, item)
        elif inner is not None:
            for one in item:
                _sort(inner, one)
    for parallel in _UNORDERED.get(descriptor.name, ()):
        present = [name for name in parallel if name in value]
        if present:
            rows = sorted(
                zip(*(value[name] for name in present), strict=True),
                key=lambda row: json.dumps(row, sort_keys=True),
            )
            for name, column in zip(present, zip(*rows, strict=True), strict=True):
                value[name] = list(column)
