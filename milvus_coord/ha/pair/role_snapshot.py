"""One role's whole picture, from what etcd holds: who leads, who stands by, how fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from milvus_coord.etcd.protocol import Etcd
from milvus_coord.etcd.values import KeyValue
from milvus_coord.ha.pair.instance_status import InstanceStatus
from milvus_coord.ha.pair.keys import Keys
from milvus_coord.ha.pair.operator_records import Pause, SwitchoverRequest
from milvus_coord.ha.pair.session_record import SessionRecord
from milvus_coord.ha.pair.takeover import Takeover
from milvus_coord.model.errors import BadValue
from milvus_coord.model.states import Phase

T = TypeVar("T")

UNREADABLE_PAUSE: Final = Pause("unknown", 0, "the pause key is not readable")
"""What the instances take a pause key for that holds junk: somebody meant to pause."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One process of the role.

    Attributes:
        ours: whether it is an instance of ours rather than Go's.
        lease: that its keys hang on, 0 when it has no key of its own any more.
        registered: whether it has an instance key; without active-standby mode there is none.
        leads: whether the active key is its.
        version: what its session says, "2.2.16" for Go and for ours.
        status: what it last said of itself; None for Go's, and when it has said nothing readable.
    """

    server_id: int
    address: str
    ours: bool
    lease: int
    registered: bool
    leads: bool
    version: str
    status: InstanceStatus | None = None

    @property
    def position(self) -> str:
        """`active`, `standby`, a phase on the way, or `deposed`: it says active, and is not."""
        phase = self.status.phase if self.status else None
        if self.leads:
            passing = phase in (Phase.ACTIVATING, Phase.STEPPING_DOWN)
            return phase.value if phase and passing else "active"
        if phase is None:
            return "standby"
        return "deposed" if phase is Phase.ACTIVE else phase.value


@dataclass(frozen=True, slots=True)
class RoleSnapshot:
    """What the keys of one role say, all as of one revision when `read_role` has read them.

    Attributes:
        active: the active key itself, None when nobody leads.
        holder: the session in the active key; None when nobody leads or the active key is junk.
        instances: by server id.
        request, request_revision: the switchover key and when it was written, 0 when it is not
            there.
        history: oldest first.
        unreadable: one sentence for each key that is not what it should be.
    """

    role: str
    active: KeyValue | None = None
    holder: SessionRecord | None = None
    instances: tuple[Instance, ...] = ()
    pause: Pause | None = None
    request: SwitchoverRequest | None = None
    request_revision: int = 0
    history: tuple[Takeover, ...] = ()
    unreadable: tuple[str, ...] = ()
    exists: bool = False

    @property
    def epoch(self) -> int:
        """Revision of the transaction that won the active key, 0 when nobody leads."""
        return self.active.mod_revision if self.active else 0

    @property
    def leader(self) -> Instance | None:
        """The instance whose active key is."""
        return next((instance for instance in self.instances if instance.leads), None)

    @property
    def standbys(self) -> tuple[Instance, ...]:
        """All other instances."""
        return tuple(instance for instance in self.instances if not instance.leads)

    def instance(self, server_id: int) -> Instance | None:
        """The instance of that server id."""
        return next((one for one in self.instances if one.server_id == server_id), None)

    def takeover(self, epoch: int) -> Takeover | None:
        """The history entry of that epoch."""
        return next((entry for entry in self.history if entry.epoch == epoch), None)


async def read_role(etcd: Etcd, keys: Keys) -> RoleSnapshot:
    """Read one role, all as of one revision. Raises etcd's errors."""
    sessions = await etcd.range(keys.active)
    ha = await etcd.range(keys.ha, revision=sessions.revision)
    return snapshot_of(keys, (*sessions.kvs, *ha.kvs))


def snapshot_of(keys: Keys, kvs: Iterable[KeyValue]) -> RoleSnapshot:
    """Put the picture together from the role's keys; those of others are passed over."""
    reader = _Reader(keys)
    for kv in kvs:
        if kv.key.startswith(keys.ha):
            reader.board(kv)
        elif keys.is_session(kv.key):
            reader.session(kv)
        elif kv.key.startswith(keys.active):
            reader.stray(kv)
    return reader.snapshot()


class _Reader:
    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._found = RoleSnapshot(keys.role)
        self._sessions: dict[int, tuple[SessionRecord, int]] = {}
        self._statuses: dict[int, tuple[InstanceStatus, int]] = {}
        self._history: list[Takeover] = []
        self._unreadable: list[str] = []
        self._any = False

    def stray(self, kv: KeyValue) -> None:
        name = kv.key.decode(errors="backslashreplace")
        self._unreadable.append(f"{name} is neither the active's key nor an instance's")

    def session(self, kv: KeyValue) -> None:
        self._any = True
        record = self._readable(SessionRecord.decode, kv)
        if kv.key == self._keys.active:
            self._found = replace(self._found, active=kv, holder=record)
        elif record is not None:
            if kv.key != self._keys.instance(record.server_id):
                self._unreadable.append(f"{kv.key.decode()} holds server id {record.server_id}")
                return
            self._sessions[record.server_id] = (record, kv.lease)

    def board(self, kv: KeyValue) -> None:
        self._any = True
        keys, key = self._keys, kv.key
        if key.startswith(keys.statuses):
            status = self._readable(InstanceStatus.decode, kv)
            if status is not None and key == keys.status(status.server_id):
                self._statuses[status.server_id] = (status, kv.lease)
        elif key.startswith(keys.history):
            if entry := self._readable(Takeover.decode, kv):
                self._history.append(entry)
        elif key == keys.paused:
            pause = self._readable(Pause.decode, kv) or UNREADABLE_PAUSE
            self._found = replace(self._found, pause=pause)
        elif key == keys.switchover:
            request = self._readable(SwitchoverRequest.decode, kv)
            self._found = replace(self._found, request=request, request_revision=kv.mod_revision)

    def snapshot(self) -> RoleSnapshot:
        return replace(
            self._found,
            instances=tuple(self._instances()),
            history=tuple(sorted(self._history, key=lambda entry: entry.epoch)),
            unreadable=tuple(self._unreadable),
            exists=self._any,
        )

    def _instances(self) -> Iterable[Instance]:
        active, holder = self._found.active, self._found.holder
        known = {*self._sessions, *self._statuses, *([holder.server_id] if holder else [])}
        for server_id in sorted(known):
            record, lease = self._sessions.get(server_id, (None, 0))
            leads = holder is not None and holder.server_id == server_id
            status, status_lease = self._statuses.get(server_id, (None, 0))
            told = record or (holder if leads else None)
            yield Instance(
                server_id=server_id,
                address=told.address if told else status.address if status else "",
                ours=told.fenced if told else True,
                lease=lease or (active.lease if leads and active else status_lease),
                registered=record is not None,
                leads=leads,
                version=told.version if told else "",
                status=status,
            )

    def _readable(self, decode: Callable[[bytes, bytes], T], kv: KeyValue) -> T | None:
        try:
            return decode(kv.key, kv.value)
        except BadValue as error:
            self._unreadable.append(str(error))
            return None
