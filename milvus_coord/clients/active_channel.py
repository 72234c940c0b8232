"""The channel to the process that has a role just now."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar

from milvus_coord.clients.codec import ClientCodec
from milvus_coord.model.errors import CoordError, NotServing
from milvus_coord.rpc.http2.channel import Channel, member_metadata
from milvus_coord.telemetry.log import log

T = TypeVar("T")

_LOOK_UP_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The active process of a role: `ip:port`, and the server id that it must answer to."""

    address: str
    server_id: int


Resolve: TypeAlias = Callable[[], Awaitable[Endpoint | None]]


class LookUpTimeout(NotServing):
    """Nobody could be asked in time who serves."""


class ActiveChannel:
    """Looked up at first, after each doubt, and every `look_every_s` while calls use it.

    When another process has taken the role over, the channel is closed: calls that wait on it
    fail, and are free to be repeated on the new one.
    """

    def __init__(self, role: str, resolve: Resolve, cluster: str, *, look_every_s: float) -> None:
        self._role, self._resolve, self._cluster = role, resolve, cluster
        self._look_every_s = look_every_s
        self._codec = ClientCodec()
        self._open: tuple[Endpoint, Channel] | None = None
        self._sure = False
        self._users = 0
        self._look_up: asyncio.Task[CoordError | None] | None = None
        self._watch: asyncio.Task[None] | None = None
        self.closed = False

    @property
    def endpoint(self) -> Endpoint | None:
        """Whom the channel goes to."""
        return self._open[0] if self._open else None

    async def get(self, timeout_s: float) -> Channel:
        """The channel to the active. Raises LookUpTimeout, and the CoordError of the look-up.

        Those who ask while one look-up runs share its outcome.
        """
        if not self._sure or self._open is None:
            await self._looked_up(timeout_s)
        if self._open is None:
            raise self._closed_error()
        return self._open[1]

    def doubt(self) -> None:
        """A call has failed: look up again who is active before the next."""
        self._sure = False

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """While a call waits, a change of the active is noticed."""
        self._users += 1
        if not self.closed and (self._watch is None or self._watch.done()):
            self._watch = self._start(self._look_while_used(), "watch")
        try:
            yield
        finally:
            self._users -= 1

    def close(self) -> None:
        """Drop the connection; calls in flight fail, and so do later ones."""
        self.closed = True
        for task in (self._watch, self._look_up):
            if task is not None:
                task.cancel()
        self._hang_up()

    async def _looked_up(self, timeout_s: float) -> None:
        """Wait for a look-up; raises its failure."""
        if self.closed:
            raise self._closed_error()
        if self._look_up is None or self._look_up.done():
            self._look_up = self._start(self._resolve_once(), "look")
        look_up = self._look_up
        await asyncio.wait((look_up,), timeout=timeout_s)
        if not look_up.done():
            raise LookUpTimeout(f"{self._role} could not be looked up within {timeout_s:.1f} s")
        if look_up.cancelled():
            raise self._closed_error()
        if (failure := look_up.result()) is not None:
            raise failure

    async def _resolve_once(self) -> CoordError | None:
        """Look up and turn to the active; what went wrong is returned."""
        try:
            async with asyncio.timeout(_LOOK_UP_S):
                active = await self._resolve()
        except CoordError as error:
            return error
        except TimeoutError:
            return LookUpTimeout(f"{self._role} could not be looked up within {_LOOK_UP_S} s")
        self._sure = active is not None
        if active is None:  # the channel stays: the calls on it may still be answered
            return NotServing(f"no {self._role} is registered")
        if active != self.endpoint:
            self._turn_to(active)
        return None

    def _turn_to(self, active: Endpoint) -> None:
        log.info("turning to", role=self._role, address=active.address, server_id=active.server_id)
        metadata = member_metadata(self._cluster, active.server_id)
        channel = Channel(active.address, codec=self._codec, metadata=metadata)
        self._hang_up()
        self._open = (active, channel)

    def _hang_up(self) -> None:
        former, self._open = self._open, None
        if former is not None:
            former[1].close()

    def _closed_error(self) -> NotServing:
        return NotServing(f"the client of {self._role} is closed")

    def _start(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        return asyncio.get_running_loop().create_task(work, name=f"rpc.{self._role}.{name}")

    async def _look_while_used(self) -> None:
        while self._users:
            await asyncio.sleep(self._look_every_s)
            if self._users:
                try:
                    await self._looked_up(self._look_every_s)
                except CoordError as error:
                    log.debug("cannot look up a coordinator", role=self._role, error=str(error))
