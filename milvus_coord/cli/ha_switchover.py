"""`milvus switchover ROLE`: ask the active to hand over, and see who leads then."""

from __future__ import annotations

import asyncio
import math
import secrets
from typing import Final

from milvus_coord.cli.connection import CONNECT_S, DONE, REFUSED, Connection
from milvus_coord.cli.format import millis, myself
from milvus_coord.cli.ha_history import CAUSES
from milvus_coord.etcd.errors import Unavailable
from milvus_coord.ha.pair import operator_requests
from milvus_coord.ha.pair.operator_records import RequestState, SwitchoverRequest
from milvus_coord.ha.pair.operator_requests import Progress, SwitchoverRefused
from milvus_coord.ha.pair.role_follower import RoleFollower
from milvus_coord.ha.pair.role_snapshot import RoleSnapshot
from milvus_coord.ha.pair.takeover import Cause
from milvus_coord.runtime.race import cancel_and_wait
from milvus_coord.runtime.taskgroup import TaskGroup

_LEASE_MARGIN_S: Final = 5


async def switchover(connection: Connection, role: str, *, to: int, timeout_s: float) -> int:
    """Ask, wait until somebody else serves, and say who; the exit code."""
    follower = RoleFollower(connection.etcd, connection.clock, connection.meta_root, (role,))
    try:
        async with TaskGroup() as tasks:
            following = tasks.create_task(follower.run(), name="switchover.look")
            await follower.listed(CONNECT_S)
            asked = _Asked(connection, follower, role, to)
            code = await asked.through(timeout_s)
            await cancel_and_wait(following)
    except* SwitchoverRefused as refusals:
        why = str(refusals.exceptions[0])
        raise SwitchoverRefused(f"{role} is not switched over: {why}") from None
    return code


class _Asked:
    """One request, from its asking to its end."""

    def __init__(self, connection: Connection, follower: RoleFollower, role: str, to: int) -> None:
        self._etcd, self._clock = connection.etcd, connection.clock
        self._keys = connection.keys(role)
        self._follower, self._role, self._to = follower, role, to
        self._progress = Progress("")

    async def through(self, timeout_s: float) -> int:
        """The exit code; prints how it went. Raises SwitchoverRefused and etcd's errors."""
        snapshot = self._follower.snapshot(self._role)
        if why := operator_requests.why_no_switchover(snapshot, self._to):
            raise SwitchoverRefused(why)
        request = SwitchoverRequest(secrets.token_hex(8), snapshot.epoch, self._to, myself())
        lease = await self._etcd.lease_grant(math.ceil(timeout_s) + _LEASE_MARGIN_S)
        asked_at = self._clock.boottime()
        took_ms = 0.0
        try:
            await operator_requests.request_switchover(
                self._etcd, self._keys, snapshot, request, lease.id
            )
            async with asyncio.timeout(timeout_s):
                await self._done(request)
            took_ms = (self._clock.boottime() - asked_at) * 1000
        except TimeoutError:
            raise Unavailable(
                f"{self._role}: after {timeout_s:g} s still waiting for {self._progress.step}; "
                f"`milvus status {self._role}` says who leads",
                sent=True,
            ) from None
        finally:
            await operator_requests.cancel(self._etcd, lease.id)
        return self._report(snapshot, took_ms)

    async def _done(self, request: SwitchoverRequest) -> None:
        """Wait until another leader serves. Raises SwitchoverRefused."""
        began = accepted = False
        while not self._progress.done:
            mark = self._follower.changed.version()
            snapshot = self._follower.snapshot(self._role)
            mine = snapshot.request is not None and snapshot.request.nonce == request.nonce
            began = began or mine or snapshot.epoch != request.epoch
            accepted = accepted or _accepted(snapshot, request)
            if began:
                self._progress = operator_requests.progress(snapshot, request, accepted=accepted)
            if not self._progress.done:
                await self._follower.changed.wait(since=mark)

    def _report(self, before: RoleSnapshot, took_ms: float) -> int:
        leader, entry = self._progress.leader, self._progress.takeover
        assert leader is not None
        former = before.leader
        assert former is not None
        print(
            f"{self._role}: {leader.server_id} ({leader.address}) leads, "
            f"{former.server_id} ({former.address}) has handed over"
        )
        if entry is not None:
            phases = ", ".join(f"{name} {millis(ms)}" for name, ms in entry.phases.items())
            total = millis(sum(entry.phases.values()))
            print(f"epoch {entry.epoch}, took {total} ms ({phases}); {took_ms:.0f} ms since asked")
            if entry.cause is not Cause.SWITCHOVER:
                print(f"it was not given the key, it took it: {CAUSES[entry.cause]}")
        if self._to and leader.server_id != self._to:
            print(f"{self._to} was asked for, but did not take the key in time")
            return REFUSED
        return DONE


def _accepted(snapshot: RoleSnapshot, request: SwitchoverRequest) -> bool:
    answer = snapshot.request
    if answer is None or answer.nonce != request.nonce:
        return False
    return answer.state is RequestState.ACCEPTED
