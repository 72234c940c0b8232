"""Unary calls over several endpoints: who is asked, what is sent again, when it is given up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from milvus_coord.etcd.client.identity import StoreIdentity
from milvus_coord.etcd.client.member import Member
from milvus_coord.etcd.client.verdict import TROUBLE, Course, Verdict, judge
from milvus_coord.etcd.errors import AuthFailed, ClientClosed, EtcdError, Unavailable
from milvus_coord.etcd.settings import Endpoint, EtcdSettings
from milvus_coord.runtime.backoff import Backoff
from milvus_coord.runtime.clock import Clock

_LOGINS_MAX: Final = 3


class Ring:
    """The endpoints in turn: one is in use until somebody has reason to leave it."""

    def __init__(self, settings: EtcdSettings) -> None:
        endpoints = [Endpoint.parse(text, settings.tls) for text in settings.endpoints]
        self.members = tuple(Member(endpoint, settings) for endpoint in endpoints)
        self._index = 0
        self._open = False

    def __len__(self) -> int:
        return len(self.members)

    @property
    def current(self) -> Member:
        """The member to ask. Raises ClientClosed."""
        if not self._open:
            raise ClientClosed("the etcd client is not connected")
        return self.members[self._index]

    def leave(self, member: Member) -> None:
        """Go on to the next endpoint, unless that has happened already.

        What answers at this one by and by must prove that it is still the same store.
        """
        member.doubt()
        if member is self.members[self._index]:
            self._index = (self._index + 1) % len(self.members)

    async def open(self) -> None:
        for member in self.members:
            await member.connect()
        self._open = True

    async def close(self) -> None:
        """Close the channels; calls that are still under way raise ClientClosed."""
        self._open = False
        for member in self.members:
            await member.close()

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Turn the CancelledError of a call whose channel is closed under it into ClientClosed.

        grpc.aio raises it although nobody has cancelled the task.
        """
        try:
            yield
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._open or task is None or task.cancelling():
                raise
            raise ClientClosed("the etcd client was closed under a call") from None


class Attempts:
    """One call's course: its deadline, the endpoints tried, and why each of them failed."""

    def __init__(self, name: str, clock: Clock, timeout_s: float) -> None:
        self._name, self._clock, self._timeout_s = name, clock, timeout_s
        self._deadline = clock.boottime() + timeout_s
        self._causes: dict[str, str] = {}
        self._failures = 0
        self._logins = 0
        self._backoff = Backoff(0.05, 0.5)

    @property
    def left_s(self) -> float:
        """Seconds until the deadline; raises Unavailable when it has passed."""
        left_s = self._deadline - self._clock.boottime()
        if left_s <= 0:
            raise self.unavailable()
        return left_s

    def note(self, member: Member, cause: str) -> None:
        """Remember why this endpoint failed; an attempt cut short by the deadline knows least."""
        endpoint = str(member)
        if endpoint not in self._causes or self._clock.boottime() < self._deadline:
            self._causes[endpoint] = cause
        self._failures += 1

    def may_log_in(self) -> bool:
        self._logins += 1
        return self._logins <= _LOGINS_MAX

    def unavailable(self) -> Unavailable:
        """Time is up, and nothing that was sent has changed anything."""
        return Unavailable(f"{self._described()} ({self._timeout_s:.3g} s are up)", sent=False)

    def ambiguous(self) -> Unavailable:
        """The answer was lost, or the time was up before it came."""
        return Unavailable(f"{self._described()} (it may have been applied)", sent=True)

    def final(self, verdict: Verdict) -> EtcdError:
        return verdict.error(self._described())

    async def pause(self, round_length: int) -> None:
        """Wait a little after every round of endpoints, never past the deadline."""
        if self._failures % round_length == 0:
            await self._clock.sleep(min(self._backoff.next(), max(0.0, self.left_s)))

    def _described(self) -> str:
        causes = "; ".join(f"{endpoint}: {cause}" for endpoint, cause in self._causes.items())
        return f"etcd {self._name}: {causes or 'no time was left to ask'}"


class Calls:
    """Sends unary calls; holds the policy of what may be repeated.

    A read is tried on one endpoint after the other until the deadline. A write goes to another
    endpoint only while it certainly changed nothing: never sent, or refused before it was proposed.
    """

    def __init__(
        self, ring: Ring, settings: EtcdSettings, clock: Clock, store: StoreIdentity
    ) -> None:
        self._ring, self._settings, self._clock, self._store = ring, settings, clock, store

    async def send(
        self,
        name: str,
        call: Callable[[Member, float], Awaitable[Any]],
        *,
        repeatable: bool,
        timeout_s: float | None = None,
        local: bool = False,
    ) -> Any:
        """Run `call(member, timeout_s)` until it succeeds, or fails for good.

        Its answer is one of etcd's messages; `local` is for what a member answers without a leader.
        Raises Unavailable, AuthFailed, or what the verdict on the answer says.
        """
        timeout_s = self._settings.request_timeout_s if timeout_s is None else timeout_s
        attempts = Attempts(name, self._clock, timeout_s)
        while True:
            member = self._ring.current
            attempt_s = min(attempts.left_s, self._settings.attempt_timeout_s)
            token = member.token
            sending = False
            try:
                with self._ring.guarded():
                    await member.ready(attempt_s)
                    token = member.token
                    if not local:
                        await self._store.prove(member, attempt_s)
                    sending = True
                    answer = await call(member, attempt_s if repeatable else attempts.left_s)
                    self._store.saw(str(member), answer.header)
                    return answer
            except TROUBLE as failure:
                verdict = judge(failure)
                attempts.note(member, verdict.cause)
                await self._after(attempts, member, verdict, token, sending and not repeatable)

    async def _after(
        self,
        attempts: Attempts,
        member: Member,
        verdict: Verdict,
        token: str | None,
        once_only: bool,
    ) -> None:
        """Return when the call may be tried again; raise what it has come to otherwise."""
        if verdict.course is Course.FINAL:
            raise attempts.final(verdict)
        if verdict.course is Course.LOG_IN:
            await log_in_again(attempts, member, verdict, token, self._settings)
            return
        self._ring.leave(member)
        if verdict.course is Course.UNKNOWN and once_only:
            raise attempts.ambiguous()
        await attempts.pause(len(self._ring))


async def log_in_again(
    attempts: Attempts, member: Member, verdict: Verdict, token: str | None, settings: EtcdSettings
) -> None:
    """Replace a token that etcd no longer takes. Raises AuthFailed when that is of no use."""
    if not member.user or not attempts.may_log_in():
        raise attempts.final(verdict)
    try:
        await member.log_in(token, min(attempts.left_s, settings.attempt_timeout_s))
    except TROUBLE as failure:
        again = judge(failure)
        attempts.note(member, again.cause)
        if again.course is Course.FINAL:
            raise AuthFailed(str(attempts.final(again))) from failure
