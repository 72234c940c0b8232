"""A client of the rootcoord that is active, as stubborn as Go's, that keeps book of each try."""

from __future__ import annotations

import asyncio
import enum
import functools
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from milvus_coord.etcd.errors import EtcdError
from milvus_coord.etcd.protocol import Etcd
from testing import messages
from testing.grpc_wire import GrpcConnection, RpcFailed

SERVICE: Final = "rootcoord.RootCoord"
ACTIVE_KEY: Final = b"by-dev/meta/session/rootcoord"
PAUSE_S: Final = 0.02
_NOT_READY: Final = 56
_UNAVAILABLE: Final = 14


class Outcome(enum.Enum):
    """What became of one try; after the last three nobody knows whether it took effect."""

    OK = "success"
    REFUSED = "a status that users see"
    NOT_READY = "a status that asks to repeat it here"
    NOBODY = "no connection"
    UNAVAILABLE = "a gRPC error that asks to look who serves now"
    LOST = "the connection was lost"
    TIMEOUT = "no answer in time"
    BROKEN = "another gRPC error"


IN_DOUBT: Final = (Outcome.UNAVAILABLE, Outcome.LOST, Outcome.TIMEOUT, Outcome.BROKEN)


@dataclass(frozen=True, slots=True)
class Try:
    """One try of one call; `reply` is the message where one came in time."""

    outcome: Outcome
    address: str
    detail: str = ""
    reply: Any = None


@dataclass(frozen=True, slots=True)
class Late:
    """The outcome of a call whose try had been given up; `name` is that of its collection."""

    rpc: str
    name: str
    outcome: Outcome


Find: TypeAlias = Callable[[], Awaitable[str]]


def active_in(etcd: Etcd) -> Find:
    """Finds the address in the session of the active rootcoord; "" while there is none."""

    async def find() -> str:
        try:
            found = (await etcd.get(ACTIVE_KEY, timeout_s=2.0)).kv
            return str(json.loads(found.value)["Address"]) if found is not None else ""
        except (EtcdError, ValueError, KeyError):
            return ""

    return find


def always(address: str) -> Find:
    """Finds this one."""

    async def find() -> str:
        return address

    return find


class RootClient:
    """One connection for all callers, as a proxy has; looked up at first and after each failure.

    A try without an answer within `try_s` is given up, but its connection is kept and heard on.

    Attributes:
        late: the answers that came after their try was given up.
    """

    def __init__(self, find: Find, *, try_s: float = 2.0) -> None:
        self._find, self._try_s = find, try_s
        self._dialling = asyncio.Lock()
        self._connection: GrpcConnection | None = None
        self._address = ""
        self._all: list[GrpcConnection] = []
        self.late: list[Late] = []

    async def ask(self, rpc: str, **fields: Any) -> Any:
        """The reply, tried until one comes; its status must be Success."""
        tried = await self.persist(rpc, **fields)
        assert tried.outcome is Outcome.OK, f"{rpc} {fields}: {tried.detail}"
        return tried.reply

    async def persist(self, rpc: str, *, within_s: float = 30.0, **fields: Any) -> Try:
        """Try until there is an answer that says yes or no."""
        async with asyncio.timeout(within_s):
            while True:
                tried = await self.attempt(rpc, **fields)
                if tried.outcome in (Outcome.OK, Outcome.REFUSED):
                    return tried
                await asyncio.sleep(PAUSE_S)

    async def attempt(self, rpc: str, *, try_s: float = 0.0, **fields: Any) -> Try:
        """One try."""
        request_type, reply_type = messages.method_types(f"{SERVICE}/{rpc}")
        request = request_type(**fields)
        if "base" in request.DESCRIPTOR.fields_by_name:
            request.base.msg_type = request.base.msg_type or msg_type(rpc)
        try:
            connection, address = await self._connected()
        except (OSError, TimeoutError) as error:
            return Try(Outcome.NOBODY, self._address, str(error))
        answer = connection.send(f"{SERVICE}/{rpc}", request.SerializeToString())
        read = functools.partial(_read, answer, reply_type, address)
        try:
            await asyncio.wait([answer], timeout=try_s or self._try_s)
        except asyncio.CancelledError:
            answer.cancel()
            raise
        if not answer.done():
            name = str(fields.get("collection_name", fields.get("oldName", "")))
            answer.add_done_callback(lambda _: self.late.append(Late(rpc, name, read().outcome)))
            self._leave(connection)
            return Try(Outcome.TIMEOUT, address)
        tried = read()
        if tried.outcome in IN_DOUBT:
            self._leave(connection)
        return tried

    def close(self) -> None:
        for connection in self._all:
            connection.close()

    async def _connected(self) -> tuple[GrpcConnection, str]:
        """Raises OSError, TimeoutError."""
        async with self._dialling:
            if self._connection is None or not self._connection.usable:
                self._connection = None
                self._address = await self._find()
                if not self._address:
                    raise ConnectionRefusedError("nobody is registered")
                async with asyncio.timeout(self._try_s):
                    self._connection = await GrpcConnection.open(self._address)
                self._all.append(self._connection)
            return self._connection, self._address

    def _leave(self, connection: GrpcConnection) -> None:
        if self._connection is connection:
            self._connection = None


@functools.cache
def msg_type(rpc: str) -> int:
    """The number of e.g. `CreateCollection`, 0 for what has no type of its own."""
    values = messages.message_class("common.MsgBase").DESCRIPTOR.fields_by_name["msg_type"]
    name = "TimeTick" if rpc == "UpdateChannelTimeTick" else rpc
    found = values.enum_type.values_by_name.get(name)
    return int(found.number) if found else 0


def _read(answer: asyncio.Future[bytes], reply_type: Any, address: str) -> Try:
    failure = answer.exception()
    if isinstance(failure, RpcFailed):
        outcomes = {-1: Outcome.LOST, _UNAVAILABLE: Outcome.UNAVAILABLE}
        return Try(outcomes.get(failure.status, Outcome.BROKEN), address, str(failure))
    assert failure is None, failure
    reply = reply_type.FromString(answer.result())
    status = reply if reply.DESCRIPTOR.name == "Status" else reply.status
    if status.error_code == 0:
        return Try(Outcome.OK, address, reply=reply)
    outcome = Outcome.NOT_READY if status.error_code == _NOT_READY else Outcome.REFUSED
    return Try(outcome, address, f"{status.error_code}: {status.reason}", reply)
