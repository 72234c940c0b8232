"""The etcd client: several endpoints, TLS and users over aetcd's channels, stubs and messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any, Final

import grpc.aio

from milvus_coord.etcd import tls
from milvus_coord.etcd.client import messages
from milvus_coord.etcd.client.calls import Attempts, Calls, Ring, log_in_again
from milvus_coord.etcd.client.identity import Foreign, StoreIdentity
from milvus_coord.etcd.client.member import Member
from milvus_coord.etcd.client.rpc import pb
from milvus_coord.etcd.client.verdict import TROUBLE, Course, StreamEnded, judge
from milvus_coord.etcd.client.watch import ClientWatch
from milvus_coord.etcd.errors import AnswerTooLarge, ClientClosed, Compacted, LeaseNotFound
from milvus_coord.etcd.prefix import range_end, range_start
from milvus_coord.etcd.protocol import PAGE_KEYS
from milvus_coord.etcd.settings import EtcdSettings
from milvus_coord.etcd.txn import Put, Txn, TxnResult
from milvus_coord.etcd.values import (
    ClusterMember,
    GetResult,
    Lease,
    LeaseStatus,
    MemberStatus,
    RangeResult,
)
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.race import cancel_and_wait
from milvus_coord.runtime.signal import Signal
from milvus_coord.runtime.taskgroup import TaskGroup

_PAGE_BYTES: Final = 2 << 20
_SLICE_KEYS: Final = 2000
"""So many keys are taken out of a message at once: a few milliseconds."""
_REPLACED: Final = "etcd was replaced meanwhile"
_ALARMS: Final = {pb.NOSPACE: "NOSPACE", pb.CORRUPT: "CORRUPT"}


class EtcdClient:
    """One process's client; implements `protocol.Etcd`, where the calls are described.

    Keepalives have connections of their own, so that neither bulk reads nor a hanging call can
    delay them. Close it after all its users have ended.
    """

    def __init__(self, settings: EtcdSettings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self._data = Ring(settings)
        self._lease = Ring(settings)
        self._store = StoreIdentity(self.endpoints)
        self._calls = Calls(self._data, settings, clock, self._store)

    @property
    def endpoints(self) -> tuple[str, ...]:
        """All configured endpoints as `host:port`."""
        return tuple(str(member) for member in self._data.members)

    @property
    def endpoint(self) -> str:
        """The endpoint that the next call goes to."""
        return str(self._data.current)

    @property
    def replaced(self) -> Signal:
        return self._store.replaced

    def __repr__(self) -> str:
        return f"<EtcdClient {self.endpoint} of {','.join(self.endpoints)}>"

    async def connect(self, *, timeout_s: float | None = None) -> None:
        """Check the certificates, then wait until an endpoint answers and takes our password.

        May be called again after a failure. Raises CertificateError, AuthFailed, Unavailable.
        """
        if self._settings.tls is not None:
            tls.check_certificates(self._settings.tls)
        await self._data.open()
        await self._lease.open()
        await self._calls.send("connect", _status, repeatable=True, timeout_s=timeout_s, local=True)

    async def close(self) -> None:
        """Close all connections; calls under way raise ClientClosed."""
        await self._data.close()
        await self._lease.close()

    async def get(
        self, key: bytes, *, serializable: bool = False, timeout_s: float | None = None
    ) -> GetResult:
        request = pb.RangeRequest(key=key, serializable=serializable)
        response = await self._range(f"get of {_shown(key)}", request, timeout_s)
        kvs = messages.key_values(response.kvs)
        return GetResult(kvs[0] if kvs else None, response.header.revision)

    async def range(
        self,
        prefix: bytes,
        *,
        page_keys: int = PAGE_KEYS,
        revision: int = 0,
        timeout_s: float | None = None,
    ) -> RangeResult:
        while True:
            pages = self.pages(
                range_start(prefix),
                range_end(prefix),
                page_keys=page_keys,
                revision=revision,
                timeout_s=timeout_s,
            )
            try:
                found = [page async for page in pages]
            except Compacted:
                if revision:
                    raise
            else:
                return RangeResult(
                    tuple(kv for page in found for kv in page.kvs), found[0].revision
                )

    async def pages(
        self,
        start: bytes,
        end: bytes,
        *,
        page_keys: int = PAGE_KEYS,
        revision: int = 0,
        timeout_s: float | None = None,
    ) -> AsyncGenerator[RangeResult, None]:
        def ask() -> asyncio.Task[tuple[Any, int]]:
            page = self._page(start, end, limit, revision, timeout_s)
            return asyncio.create_task(page, name="etcd page")

        limit, version = page_keys, self.replaced.version()
        asked = ask()
        try:
            more = True
            while more:
                response, asked_for = await asked
                if self.replaced.version() != version:
                    raise Compacted(f"etcd range of {_shown(start)}: {_REPLACED}", revision=0)
                if asked_for < limit:
                    page_keys = asked_for
                kvs, more = response.kvs, response.more
                revision = revision or response.header.revision
                if more:  # etcd reads the next page while this one is used
                    start = kvs[-1].key + b"\x00"
                    limit = min(page_keys, _fitting(len(kvs), response.ByteSize()))
                    asked = ask()
                for begin in range(0, len(kvs) or 1, _SLICE_KEYS):
                    found = messages.key_values(kvs[begin : begin + _SLICE_KEYS])
                    yield RangeResult(found, revision)
        finally:
            await cancel_and_wait(asked)

    async def txn(self, txn: Txn, *, timeout_s: float | None = None) -> TxnResult:
        request = messages.txn_request(txn)

        async def call(member: Member, attempt_s: float) -> Any:
            return await member.kvstub.Txn(request, timeout=attempt_s, metadata=member.metadata)

        response = await self._calls.send(
            "transaction", call, repeatable=txn.reads_only, timeout_s=timeout_s
        )
        self._store.passed(response.header)
        result = messages.txn_result(response)
        for op in txn.then if result.succeeded else txn.otherwise:
            if isinstance(op, Put):
                self._store.witnessed(op.key, op.value, result.revision)
        return result

    async def lease_grant(self, ttl_s: int, *, timeout_s: float | None = None) -> Lease:
        request = pb.LeaseGrantRequest(TTL=ttl_s)

        async def call(member: Member, attempt_s: float) -> Any:
            stub = member.leasestub
            return await stub.LeaseGrant(request, timeout=attempt_s, metadata=member.metadata)

        response = await self._calls.send("lease grant", call, repeatable=True, timeout_s=timeout_s)
        return Lease(response.ID, response.TTL)

    async def lease_revoke(self, lease: int, *, timeout_s: float | None = None) -> None:
        request = pb.LeaseRevokeRequest(ID=lease)

        async def call(member: Member, attempt_s: float) -> Any:
            stub = member.leasestub
            return await stub.LeaseRevoke(request, timeout=attempt_s, metadata=member.metadata)

        name = f"revocation of lease {lease:x}"
        await self._calls.send(name, call, repeatable=False, timeout_s=timeout_s)

    async def lease_time_to_live(
        self, lease: int, *, timeout_s: float | None = None
    ) -> LeaseStatus:
        request = pb.LeaseTimeToLiveRequest(ID=lease)

        async def call(member: Member, attempt_s: float) -> Any:
            stub = member.leasestub
            return await stub.LeaseTimeToLive(request, timeout=attempt_s, metadata=member.metadata)

        name = f"time to live of lease {lease:x}"
        response = await self._calls.send(name, call, repeatable=True, timeout_s=timeout_s)
        return LeaseStatus(response.TTL, response.grantedTTL)

    async def keep_alive_once(self, lease: int, *, timeout_s: float) -> int:
        name = f"keepalive of lease {lease:x}"
        attempts = Attempts(name, self._clock, timeout_s)
        member = self._lease.current
        while True:
            token = member.token
            try:
                with self._lease.guarded():
                    await member.ready(attempts.left_s)
                    token = member.token
                    answer = await _renew(member, lease, attempts.left_s)
                    self._store.saw(str(member), answer.header)
            except TROUBLE as failure:
                verdict = judge(failure)
                attempts.note(member, verdict.cause)
                if verdict.course is Course.LOG_IN:
                    await log_in_again(attempts, member, verdict, token, self._settings)
                    continue
                self._lease.leave(member)
                if verdict.course is Course.FINAL:
                    raise attempts.final(verdict) from failure
                if verdict.course is Course.NOT_APPLIED:
                    raise attempts.unavailable() from failure
                raise attempts.ambiguous() from failure
            left_s: int = answer.TTL
            if left_s <= 0:
                raise LeaseNotFound(f"etcd {name} at {member}: it is gone")
            return left_s

    async def status(self) -> tuple[MemberStatus, ...]:
        async with TaskGroup() as tasks:
            asked = [
                tasks.create_task(self._status_of(member), name=f"etcd status of {member}")
                for member in self._data.members
            ]
        return tuple(task.result() for task in asked)

    async def members(self, *, timeout_s: float | None = None) -> tuple[ClusterMember, ...]:
        async def call(member: Member, attempt_s: float) -> Any:
            stub, request = member.clusterstub, pb.MemberListRequest()
            return await stub.MemberList(request, timeout=attempt_s, metadata=member.metadata)

        response = await self._calls.send("member list", call, repeatable=True, timeout_s=timeout_s)
        return tuple(
            ClusterMember(member.name, tuple(member.clientURLs), member.isLearner)
            for member in response.members
        )

    def watch(
        self,
        key: bytes,
        *,
        prefix: bool = False,
        end: bytes = b"",
        start_revision: int,
        idle_check_s: float = 2.0,
    ) -> ClientWatch:
        if prefix:
            key, end = range_start(key), range_end(key)
        return ClientWatch(
            self._data,
            self._settings,
            self._clock,
            self._store,
            key,
            end,
            start_revision,
            idle_check_s,
        )

    async def _range(self, name: str, request: Any, timeout_s: float | None) -> Any:
        async def call(member: Member, attempt_s: float) -> Any:
            metadata = member.local_metadata if request.serializable else member.metadata
            return await member.kvstub.Range(request, timeout=attempt_s, metadata=metadata)

        local = request.serializable
        response = await self._calls.send(
            name, call, repeatable=True, timeout_s=timeout_s, local=local
        )
        if not local:
            self._store.passed(response.header)
        return response

    async def _page(
        self, start: bytes, end: bytes, limit: int, revision: int, timeout_s: float | None
    ) -> tuple[Any, int]:
        """A page of `limit` keys or, when that is too large, of fewer; and of how many."""
        name = f"range of {_shown(start)}"
        while True:
            request = pb.RangeRequest(key=start, range_end=end, limit=limit, revision=revision)
            try:
                return await self._range(name, request, timeout_s), limit
            except AnswerTooLarge:
                if limit == 1:
                    raise
                limit = max(1, limit // 4)

    async def _status_of(self, member: Member) -> MemberStatus:
        timeout_s = self._settings.attempt_timeout_s
        try:
            with self._data.guarded():
                await member.ready(timeout_s)
                status = await _status(member, timeout_s)
        except (*TROUBLE, ClientClosed) as failure:
            return MemberStatus(str(member), error=judge(failure).cause)
        with suppress(Foreign):
            self._store.saw(str(member), status.header)
        return MemberStatus(
            endpoint=str(member),
            version=status.version,
            is_leader=status.leader == status.header.member_id,
            has_leader=status.leader != 0,
            db_bytes=status.dbSize,
            quota_bytes=messages.quota_bytes(status),
            alarms=await self._alarms_of(member, status.header.member_id, timeout_s),
            cluster_id=status.header.cluster_id,
        )

    async def _alarms_of(self, member: Member, member_id: int, timeout_s: float) -> tuple[str, ...]:
        request = pb.AlarmRequest(action=pb.AlarmRequest.GET)
        stub = member.maintenancestub
        try:
            with self._data.guarded():
                response = await stub.Alarm(request, timeout=timeout_s, metadata=member.metadata)
        except (*TROUBLE, ClientClosed):
            return ()
        alarms = (alarm for alarm in response.alarms if alarm.memberID == member_id)
        return tuple(_ALARMS.get(alarm.alarm, str(alarm.alarm)) for alarm in alarms)


async def _status(member: Member, timeout_s: float) -> Any:
    stub = member.maintenancestub
    return await stub.Status(pb.StatusRequest(), timeout=timeout_s, metadata=member.local_metadata)


async def _renew(member: Member, lease: int, timeout_s: float) -> Any:
    """One question and its answer on a stream of its own; its TTL is 0 when the lease is gone."""
    call = member.leasestub.LeaseKeepAlive(timeout=timeout_s, metadata=member.metadata)
    try:
        await call.write(pb.LeaseKeepAliveRequest(ID=lease))
        await call.done_writing()
        answer = await call.read()
        if answer is grpc.aio.EOF:
            raise StreamEnded("the stream ended without an answer")
        return answer
    finally:
        call.cancel()


def _fitting(keys: int, size: int) -> int:
    """How many keys make a page of `_PAGE_BYTES`, when so many are of so many bytes."""
    return max(1, keys * _PAGE_BYTES // size)


def _shown(key: bytes) -> str:
    return key.decode(errors="backslashreplace")
