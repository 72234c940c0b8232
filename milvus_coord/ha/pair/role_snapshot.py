"""All that the keys of one role say at one moment: who leads, who stands by, how fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from milvus_coord.etcd.values import KeyValue
from milvus_coord.ha.pair.challenge_record import Challenge
from milvus_coord.ha.pair.instance_status import InstanceStatus
from milvus_coord.ha.pair.operator_records import Pause, SwitchoverRequest
from milvus_coord.ha.pair.session_record import SessionRecord
from milvus_coord.ha.pair.takeover import Takeover
from milvus_coord.model.states import Phase

FRESH_S: Final = 2.5
"""An instance writes its status each second; one that has not for so long may have stopped."""

UNREADABLE_PAUSE: Final = Pause("unknown", 0, "the pause key is not readable")
"""What a pause key that holds junk is taken for: somebody meant to pause."""


@dataclass(frozen=True, slots=True)
class InstanceKey:
    """An instance key; `record` is None when its value is no session, or another instance's."""

    kv: KeyValue
    record: SessionRecord | None


@dataclass(frozen=True, slots=True)
class SeenStatus:
    """What an instance said of itself, and when that was seen.

    Attributes:
        lease: that the status hangs on.
        revision: at which it was written.
        seen_s: boot time (s) by our clock; etcd keeps no times.
        listed: it was there when we first looked, and may be as old as its lease.
    """

    status: InstanceStatus
    lease: int
    revision: int
    seen_s: float
    listed: bool


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
    """What the keys of one role say; the mappings are by server id.

    Attributes:
        listed: whether all keys have been listed once; before that nothing is known.
        active: the active key, None when nobody leads.
        active_revision: of the last change of the active key that was seen, also of its deletion.
        holder: the session in the active key; None when nobody leads or it holds junk.
        last_holder: the last session that was seen there; it stays when the key is gone.
        sessions: the instance keys.
        leadership_revision: at which the leadership key was last written, 0 when it is absent.
        statuses: of instances of ours.
        challenges, answers: what standbys ask, and what the active has answered to whom.
        switchover: the switchover key; `request` is what it says, None when that is not readable.
        history: oldest first.
        unreadable: one sentence for each key that is not what it should be.
        exists: whether any key of the role was seen.
    """

    role: str
    listed: bool = False
    active: KeyValue | None = None
    active_revision: int = 0
    holder: SessionRecord | None = None
    last_holder: SessionRecord | None = None
    sessions: Mapping[int, InstanceKey] = field(default_factory=dict)
    leadership_revision: int = 0
    statuses: Mapping[int, SeenStatus] = field(default_factory=dict)
    challenges: Mapping[int, Challenge] = field(default_factory=dict)
    answers: Mapping[int, Challenge] = field(default_factory=dict)
    pause: Pause | None = None
    switchover: KeyValue | None = None
    request: SwitchoverRequest | None = None
    history: tuple[Takeover, ...] = ()
    unreadable: tuple[str, ...] = ()
    exists: bool = False

    @property
    def epoch(self) -> int:
        """Revision of the transaction that won the active key, 0 when nobody leads."""
        return self.active.mod_revision if self.active else 0

    @property
    def instances(self) -> tuple[Instance, ...]:
        """All that is known of each process, in the order of their server ids."""
        return tuple(self._instances())

    @property
    def leader(self) -> Instance | None:
        """The instance that holds the active key."""
        return next((instance for instance in self._instances() if instance.leads), None)

    @property
    def standbys(self) -> tuple[Instance, ...]:
        """All other instances."""
        return tuple(instance for instance in self._instances() if not instance.leads)

    def instance(self, server_id: int) -> Instance | None:
        """The instance of that server id."""
        return next((one for one in self._instances() if one.server_id == server_id), None)

    def takeover(self, epoch: int) -> Takeover | None:
        """The history entry of that epoch."""
        return next((entry for entry in self.history if entry.epoch == epoch), None)

    @property
    def sharing_address(self) -> Mapping[str, list[int]]:
        """Server ids of those that registered with the same address, by that address."""
        by_address: dict[str, list[int]] = {}
        for one in self.instances:
            if one.registered:
                by_address.setdefault(one.address, []).append(one.server_id)
        return {address: ids for address, ids in by_address.items() if len(ids) > 1}

    def takeover_before(self, entry: Takeover) -> Takeover | None:
        """The one before it that served, as far as the history goes back."""
        earlier = (one for one in self.history if one.epoch < entry.epoch and one.served)
        return max(earlier, key=lambda one: one.epoch, default=None)

    def ready(self, now_s: float, *, besides: int) -> list[int]:
        """Server ids that could take over now, the one heard last first; never `besides`.

        One whose status was merely listed, or is older than `FRESH_S`, is not counted.
        """
        heard = sorted(self.statuses.values(), key=lambda seen: seen.seen_s, reverse=True)
        return [
            seen.status.server_id
            for seen in heard
            if seen.status.ready
            and not seen.listed
            and seen.seen_s > now_s - FRESH_S
            and seen.status.server_id != besides
        ]

    def _instances(self) -> Iterator[Instance]:
        active, holder = self.active, self.holder
        registered = {id_: key for id_, key in self.sessions.items() if key.record is not None}
        known = {*registered, *self.statuses, *([holder.server_id] if holder else [])}
        for server_id in sorted(known):
            key, seen = registered.get(server_id), self.statuses.get(server_id)
            leads = holder is not None and holder.server_id == server_id
            record = key.record if key else holder if leads else None
            status = seen.status if seen else None
            lease = key.kv.lease if key else 0
            yield Instance(
                server_id=server_id,
                address=record.address if record else status.address if status else "",
                ours=record.fenced if record else True,
                lease=lease or (active.lease if leads and active else seen.lease if seen else 0),
                registered=key is not None,
                leads=leads,
                version=record.version if record else "",
                status=status,
            )
