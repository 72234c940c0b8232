"""All proxies: found by their sessions, called side by side, each on its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Final, Protocol, TypeVar

from milvus_coord.clients.proxy import ProxyClient
from milvus_coord.coordinators.rootcoord.proxies.member import (
    Call,
    Gone,
    Member,
    ProxyError,
)
from milvus_coord.coordinators.rootcoord.proxies.pending_updates import (
    Errand,
    ForgetCredential,
    PolicyChange,
)
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.ha.election.serve_lease import ServeLease
from milvus_coord.model.errors import CoordError, NotServing
from milvus_coord.model.states import StateCode
from milvus_coord.model.timestamps import Timestamp
from milvus_coord.role.nodes.sessions import NodeSession, NodeSessions
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.taskgroup import TaskGroup

T = TypeVar("T")

TELL_S: Final = 25.0
"""Longer than a session's TTL: a proxy that died delays a statement, but fails none."""
ASK_S: Final = 3.0
_INVALIDATE: Final = "InvalidateCollectionMetaCache"
_UNDEFINED: Final = 0
_DROP_COLLECTION: Final = 101


class Attendance(Protocol):
    """Who must know which proxies there are before calls to them begin: the time ticks."""

    def attend(self, proxies: Collection[int]) -> None:
        """Called with the server ids of all, after the first listing and after each change."""


class Proxies:
    """Every proxy that has a session.

    Go 2.2.16 calls them under one lock and without a deadline, so that one that hangs stops all
    statements and all ticks. Here calls know nothing of each other. A call that all must obey
    lasts until each has answered, has gone, or has had `tell_s`; all get it, even when one fails.

    Args:
        meta_root: `etcd.rootPath/etcd.metaSubPath`.
        cluster: our `common.chanNamePrefix.cluster`.
        server_id: our own.
        attendance: told who is there before the first call.
        count_changed: told how many there are, after each change; for metrics.
        clear_at: boot time (s) from which the leader before us has certainly stopped; the
            background calls begin then.
    """

    def __init__(
        self,
        *,
        etcd: Etcd,
        clock: Clock,
        serve: ServeLease,
        meta_root: str,
        server_id: int,
        cluster: str,
        attendance: Attendance,
        count_changed: Callable[[int], object],
        clear_at: float = 0.0,
        tell_s: float = TELL_S,
        ask_s: float = ASK_S,
    ) -> None:
        self._clock, self._serve = clock, serve
        self._connect = partial(ProxyClient, cluster=cluster)
        self._server_id, self._attendance = server_id, attendance
        self._count_changed, self._clear_at = count_changed, clear_at
        self._tell_s, self._ask_s = tell_s, ask_s
        self._sessions = NodeSessions(etcd, clock, meta_root, "proxy", self._meet)
        self._members: dict[int, Member] = {}
        self._workers: dict[int, asyncio.Task[None]] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._listed = asyncio.Event()

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._members)

    @property
    def ids(self) -> tuple[int, ...]:
        """Server ids of those that are there, in order."""
        return tuple(sorted(self._members))

    async def run(self) -> None:
        """Follow the sessions until cancelled; from then on every call raises NotServing."""
        try:
            async with TaskGroup() as tasks:
                self._tasks = tasks
                await self._sessions.run()
        finally:
            for member in self._members.values():
                member.close()

    async def ready(self) -> None:
        """Return once the sessions have been listed."""
        await self._listed.wait()

    async def invalidate_collection(
        self,
        db_name: str,
        *,
        collection_id: int = 0,
        names: Sequence[str] = (),
        ts: Timestamp,
        dropped: bool = False,
    ) -> None:
        """Let all forget a collection: by id, or when that is 0, by each of `names` in order.

        Raises ProxyError with the text of Go 2.2.16, and NotServing.
        """
        msg_type = _DROP_COLLECTION if dropped else _UNDEFINED
        for each in ("",) if collection_id else names:
            call = partial(
                ProxyClient.invalidate_collection_meta_cache,
                db_name=db_name,
                collection_name=each,
                collection_id=collection_id,
                ts=ts,
                source_id=self._server_id,
                msg_type=msg_type,
            )
            await self._tell(_INVALIDATE, call)

    async def forward_invalidation(self, request: bytes) -> None:
        """Pass on an InvalidateCollMetaCacheRequest as it came; raises the same."""
        await self._tell(_INVALIDATE, lambda client: client.forward(request))

    async def update_credential(self, username: str, sha256_password: str) -> None:
        """Let all know a user's new password. Raises ProxyError, NotServing."""
        await self._tell(
            "UpdateCredentialCache",
            lambda client: client.update_credential_cache(
                username, sha256_password, self._server_id
            ),
        )

    async def invalidate_credential(self, username: str) -> None:
        """Let all forget a user's password. Raises ProxyError, NotServing."""
        await self._tell(
            "InvalidateCredentialCache",
            lambda client: client.invalidate_credential_cache(username),
        )

    async def refresh_policy(self, op_type: int, op_key: str) -> None:
        """Let all take over a change of roles or privileges. Raises ProxyError, NotServing."""
        await self._tell(
            "RefreshPolicyInfoCache",
            lambda client: client.refresh_policy_info_cache(op_type, op_key),
        )

    def refresh_policy_later(self, op_type: int, op_key: str) -> None:
        """As `refresh_policy`, in the background, as often as it takes; each proxy in order.

        Whoever joins reads all policies anew first, so none misses what happened while it did.
        """
        self._later(PolicyChange(op_type, op_key))

    def invalidate_credential_later(self, username: str) -> None:
        """As `invalidate_credential`, in the background, as often as it takes."""
        self._later(ForgetCredential(username))

    async def metrics(self, request_json: str) -> list[str]:
        """The JSON of each that is there. Raises ProxyError when one of them has none."""
        replies = await self._each(
            "GetMetrics",
            lambda member: member.ask(
                lambda client: client.metrics(request_json), timeout_s=self._ask_s
            ),
        )
        return list(replies.values())

    async def set_rates(self, request: bytes) -> None:
        """Send an encoded SetRatesRequest to all. Raises ProxyError, NotServing."""
        await self._each(
            "SetRates",
            lambda member: member.tell(
                lambda client: client.set_rates(request), timeout_s=self._ask_s
            ),
        )

    async def ailments(self) -> list[str]:
        """One sentence, in the words of Go 2.2.16, for each proxy that is not healthy."""
        found = await self._each("GetComponentStates", self._ailment)
        return [found[server_id] for server_id in sorted(found) if found[server_id]]

    async def _ailment(self, member: Member) -> str:
        try:
            state = await member.ask(lambda client: client.component_state(), timeout_s=self._ask_s)
        except ProxyError as error:
            return _sentence(member, f"inner error: {error}")
        if state.error:
            return _sentence(member, f"rpc status error: {state.error}")
        if state.code != StateCode.Healthy:
            return _sentence(member, f"node is unhealthy, state code: {state.code}")
        return ""

    async def _tell(self, rpc: str, call: Call[None]) -> None:
        await self._each(rpc, lambda member: member.tell(call, timeout_s=self._tell_s))

    async def _each(self, rpc: str, ask: Callable[[Member], Awaitable[T]]) -> dict[int, T]:
        """What each answers; those that go meanwhile are left out.

        Raises the first failure, once all are through.
        """
        await self._listed.wait()
        answers: dict[int, T] = {}
        failures: dict[int, CoordError] = {}

        async def one(server_id: int, member: Member) -> None:
            try:
                answers[server_id] = await ask(member)
            except Gone:
                pass
            except ProxyError as error:
                text = f"{rpc} failed, proxyID = {server_id}, err = {error}"
                failures[server_id] = ProxyError(text)
            except NotServing as error:
                failures[server_id] = error

        async with TaskGroup() as calls:
            for server_id, member in self._members.items():
                calls.create_task(one(server_id, member), name=f"{rpc} {server_id}")
        if failures:
            raise failures[min(failures)]
        return answers

    def _later(self, errand: Errand) -> None:
        for member in self._members.values():
            member.remember(errand)

    def _meet(self, sessions: Mapping[int, NodeSession]) -> None:
        """These are there now."""
        self._attendance.attend(sessions.keys())
        for server_id in self._members.keys() - sessions.keys():
            self._members.pop(server_id).leave()
            self._workers.pop(server_id).cancel()
        for server_id, session in sessions.items():
            if (member := self._members.get(server_id)) is not None:
                member.moved(session)
            else:
                self._join(session)
        self._count_changed(self.count)
        self._listed.set()

    def _join(self, session: NodeSession) -> None:
        assert self._tasks is not None
        member = Member(session, self._connect, self._clock, self._serve)
        self._members[session.server_id] = member
        self._workers[session.server_id] = self._tasks.create_task(
            self._run_errands(member), name=f"rootcoord.proxy {session.server_id}"
        )

    async def _run_errands(self, member: Member) -> None:
        if (wait_s := self._clear_at - self._clock.boottime()) > 0:
            await self._clock.sleep(wait_s)
        await member.run_errands()


def _sentence(member: Member, reason: str) -> str:
    return f"role proxy[nodeID: {member.server_id}] is unhealthy, reason: {reason}"
