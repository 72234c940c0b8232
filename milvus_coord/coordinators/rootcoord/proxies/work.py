"""All proxies: found by their sessions, called side by side, each on its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import Final, TypeVar

from milvus_coord.clients.errors import CallError, NodeGone
from milvus_coord.clients.proxy import ProxyClient
from milvus_coord.coordinators.rootcoord.proxies.pending_updates import (
    ForgetCredential,
    PendingUpdate,
    PendingUpdates,
    PolicyChange,
)
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.ha.election.serve_lease import ServeLease
from milvus_coord.model.errors import CoordError, NotServing
from milvus_coord.model.states import StateCode
from milvus_coord.model.timestamps import Timestamp
from milvus_coord.role.nodes.pool import Node, NodePool
from milvus_coord.role.nodes.sessions import NodeChanges
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.retry import Retry

T = TypeVar("T")

TELL_S: Final = 25.0
"""Longer than a session's TTL: a proxy that died delays a statement, but fails none."""
ASK_S: Final = 3.0
UPDATE_S: Final = 30.0
_INVALIDATE: Final = "InvalidateCollectionMetaCache"
_UNDEFINED: Final = 0
_DROP_COLLECTION: Final = 101


class ProxyError(CoordError):
    """A proxy could not be reached or has refused; the text is what users read."""


class Proxies:
    """Every proxy that has a session.

    Go 2.2.16 calls them under one lock and without a deadline, so that one that hangs stops all
    statements and all ticks. Here calls know nothing of each other. A call that all must obey
    lasts until each has answered, has gone, or has had `tell_s`; all get it, even when one fails.

    Args:
        meta_root: `etcd.rootPath/etcd.metaSubPath`.
        cluster: our `common.chanNamePrefix.cluster`.
        server_id: our own.
        on_change: called with the server ids of all, after the first listing and after each change,
            before anything is sent to one that has joined.
        count_changed: told how many there are, after each change; for metrics.
        predecessor_stopped_at: boot time (s) from which the leader before us has certainly stopped;
            pending updates are sent from then on.
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
        on_change: Callable[[Collection[int]], None],
        count_changed: Callable[[int], object],
        predecessor_stopped_at: float = 0.0,
        tell_s: float = TELL_S,
        ask_s: float = ASK_S,
    ) -> None:
        self._clock, self._server_id, self._tell_change = clock, server_id, on_change
        self._count_changed, self._predecessor_stopped_at = count_changed, predecessor_stopped_at
        self._tell_s, self._ask_s = tell_s, ask_s
        self._pending: dict[int, PendingUpdates] = {}
        self._pool = NodePool(
            etcd,
            clock,
            meta_root,
            "proxy",
            connect=lambda session: ProxyClient(session.address, session.server_id, cluster),
            serve=serve,
            on_change=self._on_change,
            work=self._send_updates,
        )

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._pool.nodes)

    @property
    def ids(self) -> tuple[int, ...]:
        """Server ids of those that are there, in order."""
        return tuple(sorted(self._pool.nodes))

    async def run(self) -> None:
        """Follow the sessions until cancelled; from then on every call raises NotServing."""
        await self._pool.run()

    async def ready(self) -> None:
        """Return once the sessions have been listed."""
        await self._pool.ready()

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

    def refresh_policy_later(self, op_type: int, op_key: str) -> None:
        """Let all take over a change of roles or privileges, in the background until each has.

        Each proxy hears of changes in their order.
        """
        self._enqueue(PolicyChange(op_type, op_key))

    def invalidate_credential_later(self, username: str) -> None:
        """Let all forget a user's password, in the background until each has."""
        self._enqueue(ForgetCredential(username))

    async def metrics(self, request_json: str) -> list[str]:
        """The JSON of each that is there. Raises ProxyError when one of them has none."""
        replies = await self._each(
            "GetMetrics",
            lambda node: node.ask(
                lambda client: client.metrics(request_json), timeout_s=self._ask_s
            ),
        )
        return list(replies.values())

    async def set_rates(self, request: bytes) -> None:
        """Send an encoded SetRatesRequest to all. Raises ProxyError, NotServing."""
        await self._each(
            "SetRates",
            lambda node: node.tell(lambda client: client.set_rates(request), timeout_s=self._ask_s),
        )

    async def health_problems(self) -> list[str]:
        """One sentence, in the words of Go 2.2.16, for each proxy that is not healthy."""
        found = await self._each("GetComponentStates", self._health_problem)
        return [found[server_id] for server_id in sorted(found) if found[server_id]]

    async def _health_problem(self, node: Node[ProxyClient]) -> str:
        try:
            state = await node.ask(lambda client: client.component_state(), timeout_s=self._ask_s)
        except NodeGone:
            raise
        except CallError as error:
            return _sentence(node, f"inner error: {error}")
        if state.error:
            return _sentence(node, f"rpc status error: {state.error}")
        if state.code != StateCode.Healthy:
            return _sentence(node, f"node is unhealthy, state code: {state.code}")
        return ""

    async def _tell(self, rpc: str, call: Callable[[ProxyClient], Awaitable[None]]) -> None:
        await self._each(rpc, lambda node: node.tell(call, timeout_s=self._tell_s))

    async def _each(
        self, rpc: str, call: Callable[[Node[ProxyClient]], Awaitable[T]]
    ) -> dict[int, T]:
        """What each answers; raises the first failure, once all are through."""
        answers = await self._pool.each(rpc, call)
        if answers.first_failure is not None:
            server_id, error = answers.first_failure
            if isinstance(error, CallError):
                raise ProxyError(f"{rpc} failed, proxyID = {server_id}, err = {error}") from error
            raise error
        return answers.replies

    def _enqueue(self, update: PendingUpdate) -> None:
        for pending in self._pending.values():
            pending.enqueue(update)

    def _on_change(self, changes: NodeChanges) -> None:
        self._tell_change(changes.nodes.keys())
        for session in changes.left:
            del self._pending[session.server_id]
        for session in changes.joined:
            self._pending[session.server_id] = PendingUpdates()
        self._count_changed(len(changes.nodes))

    async def _send_updates(self, node: Node[ProxyClient]) -> None:
        """Send what is pending for one proxy until it goes."""
        pending = self._pending[node.server_id]
        retry = Retry(
            self._clock,
            f"tell proxy {node.server_id} about users and privileges",
            on=(CallError, NotServing),
            first_s=0.2,
        )
        if (wait_s := self._predecessor_stopped_at - self._clock.boottime()) > 0:
            await self._clock.sleep(wait_s)
        while True:
            update = await pending.head()
            try:
                await node.tell(_call(update), timeout_s=UPDATE_S)
            except NodeGone:
                return
            except (CallError, NotServing) as error:
                pending.failed()
                await retry.wait(error)
            else:
                pending.confirmed()
                retry.succeeded()


def _call(update: PendingUpdate) -> Callable[[ProxyClient], Awaitable[None]]:
    if isinstance(update, ForgetCredential):
        return lambda client: client.invalidate_credential_cache(update.username)
    return lambda client: client.refresh_policy_info_cache(update.op_type, update.op_key)


def _sentence(node: Node[ProxyClient], reason: str) -> str:
    return f"role proxy[nodeID: {node.server_id}] is unhealthy, reason: {reason}"
