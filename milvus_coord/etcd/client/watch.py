"""A watch that goes on by revision over restarts, failovers and silent endpoints."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, Final

from grpc import StatusCode

from milvus_coord.etcd.client import messages
from milvus_coord.etcd.client.calls import Ring
from milvus_coord.etcd.client.identity import StoreIdentity
from milvus_coord.etcd.client.member import Member
from milvus_coord.etcd.client.rpc import pb
from milvus_coord.etcd.client.verdict import TROUBLE, Course, Verdict, judge, judge_words
from milvus_coord.etcd.client.watchstream import WatchStream
from milvus_coord.etcd.errors import Compacted, EtcdError
from milvus_coord.etcd.settings import EtcdSettings
from milvus_coord.etcd.values import Batch, Event, EventKind
from milvus_coord.runtime.backoff import Backoff
from milvus_coord.runtime.clock import Clock
from milvus_coord.telemetry.log import log

_LOGINS_MAX: Final = 3


class ClientWatch:
    """The client's `protocol.Watch`: one stream at a time, on the endpoint in use.

    Responses of etcd hold whole revisions (fragmenting is off), so a new stream from the one after
    the last delivered loses and repeats nothing.
    """

    def __init__(
        self,
        ring: Ring,
        settings: EtcdSettings,
        clock: Clock,
        store: StoreIdentity,
        key: bytes,
        end: bytes,
        start_revision: int,
        idle_check_s: float,
    ) -> None:
        self._ring, self._settings, self._clock = ring, settings, clock
        self._key, self._end = key, end
        self._next_revision = self._first_unseen = start_revision
        self._store, self._version = store, store.replaced.version()
        self._idle_check_s = idle_check_s
        self._member: Member | None = None
        self._stream: WatchStream | None = None
        self._backoff = Backoff(0.02, 0.5)
        self._failures = 0
        self._logins = 0

    def __aiter__(self) -> AsyncIterator[Batch]:
        return self

    def __repr__(self) -> str:
        return f"<ClientWatch {self._name} from {self._next_revision}>"

    async def __anext__(self) -> Batch:
        while True:
            try:
                with self._ring.guarded():
                    response = await self._response()
                    self._store.saw(str(self._member), response.header)
            except TROUBLE as failure:
                await self._interrupted(judge(failure))
                continue
            self._check_store()
            if response.canceled:
                await self._cancelled(response)
                continue
            if response.created:
                self._resumed()
                continue
            # Only now: a stream that is created and ended over and over must not spin.
            self._backoff.reset()
            if response.events:
                events = tuple(messages.event(event) for event in response.events)
                batch = Batch(events, events[-1].kv.mod_revision)
                self._next_revision = self._first_unseen = batch.revision + 1
                self._bear_witness(events)
                return batch
            if response.watch_id >= 0:
                # A periodic report comes in order after the events. The answer to our own question
                # has id -1 and may overtake them before etcd 3.5.8 (etcd-io/etcd#15220).
                self._next_revision = max(self._next_revision, response.header.revision + 1)

    async def aclose(self) -> None:
        await self._drop()

    @property
    def _name(self) -> str:
        return self._key.decode(errors="backslashreplace") + ("*" if self._end else "")

    async def _response(self) -> Any:
        if self._stream is None:
            self._member = member = self._ring.current
            await member.ready(self._settings.attempt_timeout_s)
            await self._check_history(member)
            start = max(self._first_unseen, self._store.proven_from(self._next_revision))
            stream = WatchStream(member, self._idle_check_s)
            # Kept only once it is asked for: one that was not would answer its pulse for ever.
            await stream.open(self._key, self._end, start)
            self._stream = stream
        return await self._stream.next()

    async def _check_history(self, member: Member) -> None:
        """Make sure that etcd has not gone back behind what was delivered. Raises Compacted.

        A watch from a revision to come would wait in silence, and one of a store with another past
        would miss what differs. The read also proves the token: of an expired one etcd 3.5.1 tells
        a watch that permission is denied.
        """
        await self._store.prove(member, self._settings.attempt_timeout_s)
        self._check_store()
        response = await member.kvstub.Range(
            pb.RangeRequest(key=self._key, count_only=True),
            timeout=self._settings.attempt_timeout_s,
            metadata=member.metadata,
        )
        if response.header.revision < self._next_revision - 1:
            raise Compacted(
                f"etcd watch of {self._name} at {member}: revision {self._next_revision} is next, "
                f"but etcd is back at {response.header.revision}",
                revision=0,
            )

    def _check_store(self) -> None:
        if self._store.replaced.version() != self._version:
            raise Compacted(f"etcd watch of {self._name}: etcd was replaced", revision=0)

    def _bear_witness(self, events: tuple[Event, ...]) -> None:
        for event in reversed(events):
            if event.kind is EventKind.PUT:
                self._store.witnessed(event.kv.key, event.kv.value, event.kv.mod_revision)
                return

    async def _drop(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.close()

    async def _interrupted(self, verdict: Verdict) -> None:
        """Leave the endpoint and wait a little; raise when every endpoint would say the same."""
        member = self._member or self._ring.current
        token = self._stream.token if self._stream else member.token
        await self._drop()
        if verdict.course is Course.FINAL:
            raise self._error(member, verdict)
        self._failures += 1
        if self._failures == 1:
            log.warn(
                "etcd watch interrupted", key=self._name, endpoint=str(member), error=verdict.cause
            )
        if verdict.course is Course.LOG_IN:
            await self._log_in_again(member, token, verdict)
            return
        self._ring.leave(member)
        await self._clock.sleep(self._backoff.next())

    async def _cancelled(self, response: Any) -> None:
        """The server refuses this watch: its history is gone, or we may not."""
        assert self._stream is not None
        member = self._stream.member
        if oldest := response.compact_revision:
            await self._drop()
            raise Compacted(
                f"etcd watch of {self._name} at {member}: revision {self._next_revision} was "
                f"wanted, the oldest left is {oldest}",
                revision=oldest,
            )
        verdict = judge_words(response.cancel_reason, StatusCode.UNKNOWN)
        if verdict.course is not Course.LOG_IN:
            verdict = replace(verdict, course=Course.FINAL)
        await self._interrupted(verdict)

    async def _log_in_again(self, member: Member, token: str | None, verdict: Verdict) -> None:
        self._logins += 1
        if not member.user or self._logins > _LOGINS_MAX:
            raise self._error(member, verdict)
        try:
            await member.log_in(token, self._settings.attempt_timeout_s)
        except TROUBLE as failure:
            if (again := judge(failure)).course is Course.FINAL:
                raise self._error(member, again) from failure
            self._ring.leave(member)

    def _error(self, member: Member, verdict: Verdict) -> EtcdError:
        self._logins = 0
        return verdict.error(f"etcd watch of {self._name} at {member}: {verdict.cause}")

    def _resumed(self) -> None:
        if self._failures and self._stream:
            log.info(
                "etcd watch resumed",
                key=self._name,
                endpoint=str(self._stream.member),
                revision=self._next_revision,
            )
        self._failures = self._logins = 0
