"""Calls to one coordinator role, wherever its active process is just now."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final, TypeVar

from grpclib.const import Status

from milvus_coord.clients.active_channel import ActiveChannel, Endpoint, LookUpTimeout, Resolve
from milvus_coord.clients.errors import CallError
from milvus_coord.clients.service_client import ASK_S, ServiceClient
from milvus_coord.model.errors import CoordError, NotServing
from milvus_coord.rpc.http2.unary import RpcError
from milvus_coord.runtime.backoff import Backoff
from milvus_coord.runtime.noop import noop
from milvus_coord.telemetry.log import log

Reply = TypeVar("Reply")

_FIRST_PAUSE_S: Final = 0.05
_PAUSE_MAX_S: Final = 1.0
_LOOK_EVERY_S: Final = 2.0

_ATTEMPT_MIN_S: Final = 0.05
"""A repeat with less time than this only leaves open whether it was seen."""

_MISDIRECTED: Final = ("server ID mismatch", "cross cluster routing")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls.

    `cluster` is our `common.chanNamePrefix.cluster`, `server_id` our own. `permit` is asked before
    each attempt, also a repeated one, and raises NotServing when we may not act any more: pass
    `serve.require`.
    """

    cluster: str
    server_id: int
    permit: Callable[[], None] = noop


class _Failed(Exception):
    """One attempt failed. `late`: its time was over, which says less than what used it up."""

    def __init__(self, text: str, *, unseen: bool, late: bool = False) -> None:
        super().__init__(text)
        self.unseen, self.late = unseen, late


class ActiveClient:
    """One coordinator role, found by `resolve`; all calls share one channel. Close it.

    A call is repeated until its deadline: on every gRPC error, which is how a process that is gone,
    deposed or of another cluster shows itself, and on the status NotReadyServe (56). Each repeat
    looks the role up again, and waits while nobody is registered. Go 2.2.16 does not look it up
    after NotReadyServe, and so stays with a deposed process as long as that one lives.

    While calls are waiting for their replies the session is read every two seconds: calls to a
    process that hangs are repeated as soon as another has taken the role over.

    Args:
        role: as in session keys, for texts.
        service: full name of the gRPC service.
        resolve: who is active; may raise CoordError, which is waited out like everything else.
        caller: see there.
        look_every_s: how often the session is read while calls wait.
    """

    def __init__(
        self,
        role: str,
        service: str,
        resolve: Resolve,
        caller: Caller,
        *,
        look_every_s: float = _LOOK_EVERY_S,
    ) -> None:
        self.role, self._service, self._caller = role, service, caller
        self._active = ActiveChannel(role, resolve, caller.cluster, look_every_s=look_every_s)

    @property
    def endpoint(self) -> Endpoint | None:
        """Whom the last call went to."""
        return self._active.endpoint

    async def call(
        self,
        method: str,
        request: object,
        reply_type: type[Reply],
        *,
        timeout_s: float,
        repeatable: bool = True,
    ) -> Reply:
        """Call `method` and return its reply, whatever status it has except 56.

        With `repeatable` False it is repeated only where it certainly reached no handler. Raises
        CallError, and what `Caller.permit` raises. A cancelled call tells the peer to give up.
        """
        now_s = asyncio.get_running_loop().time
        path, until_s = f"/{self._service}/{method}", now_s() + timeout_s
        backoff = Backoff(_FIRST_PAUSE_S, _PAUSE_MAX_S)
        told: _Failed | None = None
        unseen = True
        with self._active.in_use():
            while True:
                try:
                    return await self._attempt(path, request, reply_type, until_s)
                except _Failed as failed:
                    unseen = unseen and failed.unseen
                    if told is None or not failed.late:
                        told = failed
                self._active.doubt()
                pause_s = backoff.next()
                over = self._active.closed or until_s - now_s() <= pause_s + _ATTEMPT_MIN_S
                if over or not (repeatable or unseen):
                    text = f"{self.role} {method}: {told}"
                    raise CallError(text, unseen=unseen) from told.__cause__
                log.debug("repeating a call", role=self.role, method=method, error=str(told))
                await asyncio.sleep(pause_s)

    def close(self) -> None:
        """Drop the connection; calls in flight fail."""
        self._active.close()

    async def _attempt(
        self, path: str, request: object, reply_type: type[Reply], until_s: float
    ) -> Reply:
        """Try once. Raises _Failed, and what `permit` raises."""
        now_s = asyncio.get_running_loop().time
        try:
            channel = await self._active.get(until_s - now_s())
        except CoordError as error:
            late = isinstance(error, LookUpTimeout)
            raise _Failed(str(error), unseen=True, late=late) from error
        self._caller.permit()
        left_s = max(0.001, until_s - now_s())
        try:
            reply = await channel.unary(path, request, reply_type, timeout_s=left_s)
        except RpcError as error:
            late = error.code is Status.DEADLINE_EXCEEDED
            raise _Failed(str(error), unseen=_unseen(error), late=late) from error
        if (reason := _not_ready(reply)) is not None:
            raise _Failed(f"{channel.address}: {reason}", unseen=True)
        return reply


class CoordinatorClient(ServiceClient):
    """The active process of one coordinator role.

    Attributes:
        role: as in session keys, "datacoord".

    Args:
        resolve: who is active.
        caller: see there.
        timeout_s: of a call that changes something; it outlasts a takeover.
        ask_timeout_s: of a question.
    """

    role: ClassVar[str]

    def __init__(
        self,
        resolve: Resolve,
        caller: Caller,
        *,
        timeout_s: float = 25.0,
        ask_timeout_s: float = ASK_S,
    ) -> None:
        super().__init__(caller.server_id, ask_timeout_s)
        self._active = ActiveClient(self.role, self.service, resolve, caller)
        self._timeout_s = timeout_s

    def close(self) -> None:
        self._active.close()

    async def _tell(self, method: str, request: object, reply_type: type[Reply]) -> Reply:
        return await self._call(method, request, reply_type, timeout_s=self._timeout_s)

    async def _call(
        self, method: str, request: object, reply_type: type[Reply], *, timeout_s: float
    ) -> Reply:
        return await self._active.call(method, request, reply_type, timeout_s=timeout_s)


def _not_ready(reply: object) -> str | None:
    """The reason in a reply that says NotReadyServe, None for every other."""
    status = getattr(reply, "status", reply)
    if getattr(status, "error_code", 0) != NotServing.code:
        return None
    return f"not ready: {getattr(status, 'reason', '')}"


def _unseen(error: RpcError) -> bool:
    return error.unseen or (
        error.code is Status.UNKNOWN and any(text in error.message for text in _MISDIRECTED)
    )
