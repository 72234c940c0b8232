"""Calls to one coordinator role, wherever its active process is just now."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final, TypeAlias, TypeVar

from grpclib.const import Status

from milvus_coord.clients.codec import ClientCodec
from milvus_coord.clients.errors import CallError
from milvus_coord.model.errors import CoordError, NotServing
from milvus_coord.rpc.http2.channel import Channel, RpcError, peer_metadata
from milvus_coord.runtime.backoff import Backoff
from milvus_coord.telemetry.log import log

Reply = TypeVar("Reply")

_FIRST_PAUSE_S: Final = 0.05
_PAUSE_MAX_S: Final = 1.0
_LOOK_EVERY_S: Final = 2.0
_MISDIRECTED: Final = ("server ID mismatch", "cross cluster routing")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The active process of a role: `ip:port`, and the server id that it must answer to."""

    address: str
    server_id: int


Resolve: TypeAlias = Callable[[], Awaitable[Endpoint | None]]


def _always() -> None:
    """No condition."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls.

    `cluster` is our `common.chanNamePrefix.cluster`, `server_id` our own. `permit` is asked before
    each attempt, also a repeated one, and raises NotServing when we may not act any more: pass
    `serve.require`.
    """

    cluster: str
    server_id: int
    permit: Callable[[], None] = _always


class _LookupTimeout(NotServing):
    """Nobody could be asked who serves."""


@dataclass(frozen=True, slots=True)
class _Trouble:
    """Why an attempt is to be repeated."""

    text: str
    unseen: bool
    cause: Exception | None
    late: bool = False

    def after(self, former: _Trouble | None) -> _Trouble:
        """With what came before: running out of time says less than what used the time up."""
        if former is None:
            return self
        told = former if self.late else self
        return replace(told, unseen=self.unseen and former.unseen)


class ActiveClient:
    """One coordinator role, found by `resolve`; one channel, which all calls share. Close it.

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
        self.role, self._service = role, service
        self._resolve, self._caller = resolve, caller
        self._look_every_s = look_every_s
        self._codec = ClientCodec()
        self._resolving = asyncio.Lock()
        self._lookups = 0
        self._lookup_failure: CoordError | None = None
        self._peer: Endpoint | None = None
        self._channel: Channel | None = None
        self._sure = False
        self._waiting = 0
        self._timer: asyncio.TimerHandle | None = None
        self._looking: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def peer(self) -> Endpoint | None:
        """Whom the last call went to."""
        return self._peer

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
        loop = asyncio.get_running_loop()
        path = f"/{self._service}/{method}"
        until_s = loop.time() + timeout_s
        backoff = Backoff(_FIRST_PAUSE_S, _PAUSE_MAX_S)
        trouble: _Trouble | None = None
        self._enter()
        try:
            while True:
                outcome = await self._attempt(path, request, reply_type, until_s)
                if not isinstance(outcome, _Trouble):
                    return outcome
                self._sure = False
                trouble = outcome.after(trouble)
                pause_s = backoff.next()
                over = self._closed or until_s - loop.time() <= pause_s
                if over or not (repeatable or trouble.unseen):
                    text = f"{self.role} {method}: {trouble.text}"
                    raise CallError(text, unseen=trouble.unseen) from trouble.cause
                log.debug("repeating a call", role=self.role, method=method, error=outcome.text)
                await asyncio.sleep(pause_s)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Drop the connection; calls in flight fail."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._looking is not None:
            self._looking.cancel()
        self._hang_up()

    async def _attempt(
        self, path: str, request: object, reply_type: type[Reply], until_s: float
    ) -> Reply | _Trouble:
        """One try; raises only what `permit` raises."""
        loop = asyncio.get_running_loop()
        try:
            channel = await self._reach(until_s - loop.time())
        except CoordError as error:
            late = isinstance(error, _LookupTimeout)
            return _Trouble(str(error), unseen=True, cause=error, late=late)
        self._caller.permit()
        left_s = max(0.001, until_s - loop.time())
        try:
            reply = await channel.unary(path, request, reply_type, timeout_s=left_s)
        except RpcError as error:
            late = error.code is Status.DEADLINE_EXCEEDED
            return _Trouble(str(error), unseen=_unseen(error), cause=error, late=late)
        if (reason := _not_ready(reply)) is not None:
            return _Trouble(f"{channel.address}: {reason}", unseen=True, cause=None)
        return reply

    async def _reach(self, timeout_s: float) -> Channel:
        """The channel to whom the session names, looked up at first and after each trouble."""
        if self._channel is not None and self._sure:
            return self._channel
        try:
            async with asyncio.timeout(timeout_s) as limit:
                return await self._looked_up()
        except TimeoutError as error:
            if not limit.expired():
                raise
            text = f"{self.role} could not be looked up within {timeout_s:.1f} s"
            raise _LookupTimeout(text) from error

    async def _looked_up(self) -> Channel:
        """Those who wait while one looks up share its outcome."""
        lookups = self._lookups
        async with self._resolving:
            if self._lookups == lookups:
                self._lookup_failure = None
                try:
                    peer = await self._resolve()
                except CoordError as error:
                    self._lookup_failure = error
                else:
                    self._turn_to(peer)
                self._lookups += 1
            if self._lookup_failure is not None:
                raise self._lookup_failure
            if not self._sure or self._channel is None:
                raise NotServing(f"no {self.role} is registered")
            return self._channel

    def _turn_to(self, peer: Endpoint | None) -> None:
        """Without a peer the channel stays: the calls on it may still be answered."""
        if self._closed:
            raise NotServing(f"the client of {self.role} is closed")
        if peer is not None and (peer != self._peer or self._channel is None):
            log.info("turning to", role=self.role, address=peer.address, server_id=peer.server_id)
            self._hang_up()
            self._peer = peer
            self._channel = Channel(
                peer.address,
                codec=self._codec,
                metadata=peer_metadata(self._caller.cluster, peer.server_id),
            )
        self._sure = peer is not None

    def _hang_up(self) -> None:
        channel, self._channel, self._peer = self._channel, None, None
        if channel is not None:
            channel.close()

    def _enter(self) -> None:
        self._waiting += 1
        if self._timer is None and not self._closed:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._look_every_s, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._waiting and (self._looking is None or self._looking.done()):
            self._looking = asyncio.get_running_loop().create_task(
                self._look_again(), name=f"rpc.{self.role}.look"
            )

    async def _look_again(self) -> None:
        """Leave a process that another has replaced; the calls that hang there are repeated."""
        try:
            async with asyncio.timeout(self._look_every_s):
                peer = await self._resolve()
        except (CoordError, TimeoutError) as error:
            log.debug("cannot look up a coordinator", role=self.role, error=str(error))
        else:
            if peer is not None and self._peer is not None and peer != self._peer:
                self._turn_to(peer)
        if self._waiting and not self._closed:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._look_every_s, self._look)


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
