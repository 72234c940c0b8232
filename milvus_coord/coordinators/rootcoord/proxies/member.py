"""One proxy while it has a session: calls to it that end when it goes, and its errands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from milvus_coord.clients.errors import CallError
from milvus_coord.clients.proxy import ProxyClient
from milvus_coord.coordinators.rootcoord.proxies.pending_updates import (
    READ_ALL_POLICIES,
    Errand,
    Errands,
    ForgetCredential,
)
from milvus_coord.ha.election.serve_lease import ServeLease
from milvus_coord.model.errors import CoordError, NotServing
from milvus_coord.role.nodes.sessions import NodeSession
from milvus_coord.rpc.http2.channel import RpcError
from milvus_coord.runtime.backoff import Backoff
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.retry import Retry

T = TypeVar("T")

ERRAND_S: Final = 30.0


class ProxyError(CoordError):
    """A proxy could not be reached or has refused; the text is what users read."""


class Gone(Exception):
    """The proxy's session has ended: it has no cache any more that could be wrong."""


Call = Callable[[ProxyClient], Awaitable[T]]
Connect = Callable[[str, int], ProxyClient]


class Member:
    """Calls run side by side; none outlives the proxy's session."""

    def __init__(
        self, session: NodeSession, connect: Connect, clock: Clock, serve: ServeLease
    ) -> None:
        self._session, self._connect = session, connect
        self._clock, self._serve = clock, serve
        self._client = connect(session.address, session.server_id)
        self._end: Callable[[], Exception] | None = None
        self._limits: set[asyncio.Timeout] = set()
        self._errands = Errands()
        self._errands.add(READ_ALL_POLICIES)

    @property
    def server_id(self) -> int:
        """Its server id."""
        return self._session.server_id

    def moved(self, session: NodeSession) -> None:
        """The same proxy at another address: calls that wait are repeated there."""
        if session == self._session:
            return
        former, self._session = self._client, session
        self._client = self._connect(session.address, session.server_id)
        former.close()

    def leave(self) -> None:
        """Its session has ended: calls to it raise Gone, also those that wait."""
        self._stop(Gone)

    def close(self) -> None:
        """We call nobody any more: calls raise NotServing, also those that wait."""
        self._stop(lambda: NotServing("no longer the active coordinator"))

    def remember(self, errand: Errand) -> None:
        """Do this later, as often as it takes; errands are done in order."""
        self._errands.add(errand)

    async def tell(self, call: Call[T], *, timeout_s: float) -> T:
        """Change something there; unreachable, it is tried again until `timeout_s` is over.

        Raises Gone, ProxyError, and NotServing when we have no right to change anything.
        """
        backoff = Backoff(0.1, 2.0)
        until_s = self._clock.boottime() + timeout_s
        async with self._bounded(timeout_s):
            while True:
                self._serve.require()
                try:
                    return await call(self._client)
                except RpcError:
                    pause_s = backoff.next()
                    if self._end or self._clock.boottime() + pause_s >= until_s:
                        raise
                await self._clock.sleep(pause_s)

    async def ask(self, call: Call[T], *, timeout_s: float) -> T:
        """One question. Raises Gone and ProxyError."""
        async with self._bounded(timeout_s):
            return await call(self._client)

    async def run_errands(self) -> None:
        """Do the errands until the proxy goes."""
        retry = Retry(
            self._clock,
            f"tell proxy {self.server_id} about users and privileges",
            on=(ProxyError, NotServing),
            first_s=0.2,
        )
        while True:
            errand = await self._errands.head()
            try:
                await self.tell(_call(errand), timeout_s=ERRAND_S)
            except (ProxyError, NotServing) as error:
                self._errands.failed()
                await retry.wait(error)
            except Gone:
                return
            else:
                self._errands.done()
                retry.succeeded()

    @asynccontextmanager
    async def _bounded(self, timeout_s: float) -> AsyncIterator[None]:
        if self._end:
            raise self._end()
        try:
            async with asyncio.timeout(timeout_s) as limit:
                self._limits.add(limit)
                try:
                    yield
                finally:
                    self._limits.discard(limit)
        except (TimeoutError, RpcError, CallError) as error:
            if self._end:
                raise self._end() from None
            if isinstance(error, TimeoutError):
                raise ProxyError(f"no answer within {timeout_s:g} s") from None
            raise ProxyError(str(error)) from error

    def _stop(self, end: Callable[[], Exception]) -> None:
        self._end = end
        now_s = asyncio.get_running_loop().time()
        for limit in self._limits:
            if not limit.expired():
                limit.reschedule(now_s)
        self._client.close()

    def __repr__(self) -> str:
        return f"<Member {self._session} errands={len(self._errands)}>"


def _call(errand: Errand) -> Call[None]:
    if isinstance(errand, ForgetCredential):
        return lambda client: client.invalidate_credential_cache(errand.username)
    return lambda client: client.refresh_policy_info_cache(errand.op_type, errand.op_key)
