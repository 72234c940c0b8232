"""`milvus switchover ROLE`: ask the active to hand over, and see who leads then."""

from __future__ import annotations

import asyncio
import math
import secrets
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from milvus_coord.cli.connection import CONNECT_S, DONE, REFUSED, Connection
from milvus_coord.cli.format import millis, myself
from milvus_coord.cli.output import rendered
from milvus_coord.etcd.errors import Unavailable
from milvus_coord.ha.pair import operator_requests
from milvus_coord.ha.pair.operator_records import RequestState, SwitchoverRequest
from milvus_coord.ha.pair.operator_requests import Progress, RequestRefused
from milvus_coord.ha.pair.role_follower import RoleFollower
from milvus_coord.ha.pair.role_snapshot import Instance, RoleSnapshot
from milvus_coord.ha.pair.takeover import Cause, Takeover
from milvus_coord.runtime.race import cancel_and_wait
from milvus_coord.runtime.taskgroup import TaskGroup

_LEASE_MARGIN_S: Final = 5
_SETTLE_S: Final = 3.0
"""How long the former active is waited for: it closes its port and its term first."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What was typed: server ids, 0 for whoever leads and for any standby."""

    to: int = 0
    former: int = 0
    reason: str = ""
    dry_run: bool = False
    timeout_s: float = 10.0


async def switchover(connection: Connection, role: str, wish: Wish, *, output: str) -> int:
    """Ask, wait until somebody else serves, and say who; the exit code."""
    follower = RoleFollower(connection.etcd, connection.clock, connection.meta_root, (role,))
    try:
        async with TaskGroup() as tasks:
            following = tasks.create_task(follower.run(), name="switchover.look")
            await follower.listed(CONNECT_S)
            code = await _Asked(connection, follower, role, wish, output).through()
            await cancel_and_wait(following)
    except* RequestRefused as refusals:
        why = str(refusals.exceptions[0])
        raise RequestRefused(f"{role} is not switched over: {why}") from None
    return code


class _Asked:
    """One request, from its asking to its end."""

    def __init__(
        self,
        connection: Connection,
        follower: RoleFollower,
        role: str,
        wish: Wish,
        output: str,
    ) -> None:
        self._etcd, self._clock = connection.etcd, connection.clock
        self._keys = connection.keys(role)
        self._follower, self._role, self._wish, self._output = follower, role, wish, output
        self._progress = Progress("the active's answer")

    async def through(self) -> int:
        """The exit code; prints how it went. Raises RequestRefused and etcd's errors."""
        wish, snapshot = self._wish, self._follower.snapshot(self._role)
        if not snapshot.instances:
            raise RequestRefused("nobody has registered")
        why = operator_requests.why_no_switchover(snapshot, wish.to, former=wish.former)
        if why:
            raise RequestRefused(why)
        if wish.dry_run:
            return self._rehearsed(snapshot)
        request = SwitchoverRequest(
            secrets.token_hex(8), snapshot.epoch, wish.to, myself(), reason=wish.reason
        )
        lease = await self._etcd.lease_grant(math.ceil(wish.timeout_s) + _LEASE_MARGIN_S)
        asked_at = self._clock.boottime()
        took_ms = 0.0
        try:
            await operator_requests.request_switchover(
                self._etcd, self._keys, snapshot, request, lease.id
            )
            async with asyncio.timeout(wish.timeout_s):
                await self._done(request)
            took_ms = (self._clock.boottime() - asked_at) * 1000
            await self._settled(snapshot)
        except TimeoutError:
            raise Unavailable(
                f"{self._role}: after {wish.timeout_s:g} s still waiting for "
                f"{self._progress.step}; `milvus status {self._role}` says who leads",
                sent=True,
            ) from None
        finally:
            await operator_requests.cancel(self._etcd, lease.id)
        return self._report(snapshot, took_ms)

    def _rehearsed(self, snapshot: RoleSnapshot) -> int:
        """Say what would be asked for."""
        leader, to = snapshot.leader, self._wish.to
        assert leader is not None
        heirs = [
            one
            for one in snapshot.standbys
            if to in (0, one.server_id) and one.status is not None and one.status.ready
        ]
        names = " or ".join(_name(one) for one in heirs)
        text = f"{self._role}: {_name(leader)} would hand over to {names}; nothing was asked\n"
        facts = {
            "role": self._role,
            "dry_run": True,
            "from": leader.server_id,
            "to": [one.server_id for one in heirs],
            "before": _topology(snapshot),
        }
        print(rendered(facts, self._output, text), end="")
        return DONE

    async def _done(self, request: SwitchoverRequest) -> None:
        """Wait until another leader serves. Raises RequestRefused."""
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

    async def _settled(self, before: RoleSnapshot) -> None:
        """Wait a moment until the heir says that it leads, and the former stands by or is gone."""
        former = before.leader
        assert former is not None
        with suppress(TimeoutError):
            async with asyncio.timeout(_SETTLE_S):
                while True:
                    mark = self._follower.changed.version()
                    snapshot = self._follower.snapshot(self._role)
                    now, leader = snapshot.instance(former.server_id), snapshot.leader
                    leads = leader is None or leader.position == "active"
                    if leads and (now is None or now.position == "standby"):
                        return
                    await self._follower.changed.wait(since=mark)

    def _report(self, before: RoleSnapshot, took_ms: float) -> int:
        leader, entry = self._progress.leader, self._progress.takeover
        former, after = before.leader, self._follower.snapshot(self._role)
        assert leader is not None
        assert former is not None
        missed = self._wish.to if self._wish.to not in (0, leader.server_id) else 0
        lines = [
            f"{self._role}: {_name(leader)} leads, {_name(former)} has handed over",
            *_told(entry, took_ms),
            f"before: {_sentence(before)}",
            f"after:  {_sentence(after)}",
        ]
        if missed:
            lines.append(f"{missed} was asked for, but did not take the key in time")
        facts = {
            "role": self._role,
            "dry_run": False,
            "from": former.server_id,
            "to": leader.server_id,
            "epoch": after.epoch,
            "cause": entry.cause.value if entry else None,
            "phases": dict(entry.phases) if entry else None,
            "since_asked_ms": round(took_ms, 3),
            "before": _topology(before),
            "after": _topology(after),
        }
        print(rendered(facts, self._output, "\n".join(lines) + "\n"), end="")
        return REFUSED if missed else DONE


def _told(entry: Takeover | None, took_ms: float) -> list[str]:
    """How long it took; a Go coordinator that leads now tells nothing."""
    if entry is None:
        return []
    phases = ", ".join(f"{name} {millis(ms)}" for name, ms in entry.phases.items())
    total = millis(sum(entry.phases.values()))
    lines = [f"epoch {entry.epoch}, took {total} ms ({phases}); {took_ms:.0f} ms since asked"]
    if entry.cause is not Cause.SWITCHOVER:
        lines.append(f"it was not given the key, it took it: {entry.cause.value}")
    return lines


def _name(one: Instance) -> str:
    return f"{one.server_id} ({one.address})"


def _sentence(snapshot: RoleSnapshot) -> str:
    return ", ".join(f"{_name(one)} {one.position}" for one in snapshot.instances)


def _topology(snapshot: RoleSnapshot) -> list[dict[str, Any]]:
    return [
        {"server_id": one.server_id, "address": one.address, "position": one.position}
        for one in snapshot.instances
    ]


def _accepted(snapshot: RoleSnapshot, request: SwitchoverRequest) -> bool:
    answer = snapshot.request
    if answer is None or answer.nonce != request.nonce:
        return False
    return answer.state is RequestState.ACCEPTED
