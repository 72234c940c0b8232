"""Make a `RoleSnapshot` of listings and events: each key is decoded once, as it comes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from milvus_coord.etcd.protocol import Etcd
from milvus_coord.etcd.values import Batch, EventKind, KeyValue, Listing
from milvus_coord.ha.pair import json_record
from milvus_coord.ha.pair.challenge_record import Challenge
from milvus_coord.ha.pair.instance_status import InstanceStatus
from milvus_coord.ha.pair.keys import Keys, number_after
from milvus_coord.ha.pair.operator_records import Pause, SwitchoverRequest
from milvus_coord.ha.pair.role_snapshot import (
    UNREADABLE_PAUSE,
    InstanceKey,
    RoleSnapshot,
    SeenStatus,
)
from milvus_coord.ha.pair.session_record import SessionRecord
from milvus_coord.ha.pair.takeover import Takeover
from milvus_coord.model.errors import BadValue

T = TypeVar("T")


class SnapshotReducer:
    """Takes what etcd says of the two prefixes of one role, `keys.active` and `keys.ha`.

    Attributes: unreadable: a sentence for each key that is not what it should be.
    """

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._listed: set[bytes] = set()
        self._active: KeyValue | None = None
        self._active_revision = 0
        self._holder: SessionRecord | None = None
        self._last_holder: SessionRecord | None = None
        self._sessions: dict[int, InstanceKey] = {}
        self._leadership_revision = 0
        self._statuses: dict[int, SeenStatus] = {}
        self._challenges: dict[int, Challenge] = {}
        self._answers: dict[int, Challenge] = {}
        self._pause: Pause | None = None
        self._switchover: KeyValue | None = None
        self._request: SwitchoverRequest | None = None
        self._history: dict[bytes, Takeover] = {}
        self.unreadable: dict[bytes, str] = {}
        self._there: set[bytes] = set()

    def take(self, prefix: bytes, news: Listing | Batch, now_s: float) -> None:
        """Take what is below one of the two prefixes; `now_s` is when it was seen (boot time).

        A listing is the truth, also where it is older than what is known.
        """
        if isinstance(news, Batch):
            for event in news.events:
                if event.kind is EventKind.DELETE:
                    self._delete(event.kv.key, event.kv.mod_revision)
                else:
                    self._put(event.kv, now_s, listed=False)
            return
        if prefix == self._keys.active:
            self._active_revision = 0  # a store that fell back lists older revisions
        there = {kv.key for kv in news.kvs}
        for key in [key for key in self._there if key.startswith(prefix) and key not in there]:
            self._delete(key, news.revision)
        for kv in news.kvs:
            self._put(kv, now_s, listed=True)
        if prefix == self._keys.active and self._keys.active not in there:
            self.observe_active(None, news.revision)
        self._listed.add(prefix)

    def observe_active(self, active: KeyValue | None, revision: int) -> None:
        """Take the active key as it was at `revision`, unless something newer is known."""
        changed = active.mod_revision if active else revision
        if changed <= self._active_revision:
            return
        self._active, self._active_revision, self._holder = active, changed, None
        self._readable(self._keys.active)
        if active is None:
            self._there.discard(self._keys.active)
            return
        self._there.add(self._keys.active)
        self._holder = self._decode(SessionRecord.decode, active)
        self._last_holder = self._holder or self._last_holder

    def snapshot(self) -> RoleSnapshot:
        """What is known now."""

        def is_ha(key: bytes) -> bool:
            return key.startswith(self._keys.ha)

        unreadable = sorted(sorted(self.unreadable), key=is_ha)
        return RoleSnapshot(
            role=self._keys.role,
            listed=self._listed >= {self._keys.active, self._keys.ha},
            active=self._active,
            active_revision=self._active_revision,
            holder=self._holder,
            last_holder=self._last_holder,
            sessions=dict(self._sessions),
            leadership_revision=self._leadership_revision,
            statuses=dict(self._statuses),
            challenges=dict(self._challenges),
            answers=dict(self._answers),
            pause=self._pause,
            switchover=self._switchover,
            request=self._request,
            history=tuple(self._history[key] for key in sorted(self._history)),
            unreadable=tuple(self.unreadable[key] for key in unreadable),
            exists=bool(self._active or self._sessions) or any(map(is_ha, self._there)),
        )

    def _put(self, kv: KeyValue, now_s: float, *, listed: bool) -> None:
        keys, key = self._keys, kv.key
        if key == keys.active:
            self.observe_active(kv, kv.mod_revision)
            return
        self._there.add(key)
        self._readable(key)
        if key.startswith(keys.ha):
            self._put_ha(kv, now_s, listed=listed)
        elif (server_id := number_after(keys.instances, key)) is not None:
            record = self._decode(SessionRecord.decode, kv)
            if record is not None and record.server_id != server_id:
                self.unreadable[key] = f"{key.decode()} holds server id {record.server_id}"
                record = None
            self._sessions[server_id] = InstanceKey(kv, record)
        elif key.startswith(keys.active):
            self.unreadable[key] = f"{_shown(key)} is neither the active's key nor an instance's"

    def _put_ha(self, kv: KeyValue, now_s: float, *, listed: bool) -> None:
        keys, key = self._keys, kv.key
        if (server_id := number_after(keys.statuses, key)) is not None:
            self._put_status(server_id, kv, now_s, listed=listed)
        elif (server_id := number_after(keys.challenges, key)) is not None:
            self._set(self._challenges, server_id, self._decode(Challenge.decode, kv))
        elif (server_id := number_after(keys.answers, key)) is not None:
            self._set(self._answers, server_id, self._decode(Challenge.decode, kv))
        elif key.startswith(keys.history):
            self._put_takeover(kv)
        elif key == keys.leadership:
            self._leadership_revision = kv.mod_revision
        elif key == keys.paused:
            self._pause = self._decode(Pause.decode, kv) or UNREADABLE_PAUSE
        elif key == keys.switchover:
            self._switchover, self._request = kv, self._decode(SwitchoverRequest.decode, kv)

    def _put_takeover(self, kv: KeyValue) -> None:
        self._history.pop(kv.key, None)
        entry = self._decode(Takeover.decode, kv)
        if entry is None:
            return
        if kv.key != self._keys.takeover(entry.epoch):
            self.unreadable[kv.key] = f"{_shown(kv.key)} holds epoch {entry.epoch}"
            return
        self._history[kv.key] = entry

    def _put_status(self, server_id: int, kv: KeyValue, now_s: float, *, listed: bool) -> None:
        known = self._statuses.get(server_id)
        if listed and known is not None and known.revision == kv.mod_revision:
            return
        status = self._decode(InstanceStatus.decode, kv)
        if listed and known is not None:  # written since, but nobody knows when
            now_s, listed = known.seen_s, known.listed
        if status is None or status.server_id != server_id:
            self._statuses.pop(server_id, None)
        else:
            self._statuses[server_id] = SeenStatus(status, kv.lease, kv.mod_revision, now_s, listed)

    def _delete(self, key: bytes, revision: int) -> None:
        keys = self._keys
        if key == keys.active:
            self.observe_active(None, revision)
            return
        self._there.discard(key)
        self._readable(key)
        for prefix, known in (
            (keys.instances, self._sessions),
            (keys.statuses, self._statuses),
            (keys.challenges, self._challenges),
            (keys.answers, self._answers),
        ):
            if (number := number_after(prefix, key)) is not None:
                known.pop(number, None)
        self._history.pop(key, None)
        if key == keys.leadership:
            self._leadership_revision = 0
        elif key == keys.paused:
            self._pause = None
        elif key == keys.switchover:
            self._switchover = self._request = None

    def _readable(self, key: bytes) -> None:
        self.unreadable.pop(key, None)

    def _decode(self, decode: Callable[[bytes, bytes], T], kv: KeyValue) -> T | None:
        try:
            return decode(kv.key, kv.value)
        except BadValue as error:
            self.unreadable[kv.key] = str(error)
            return None

    @staticmethod
    def _set(known: dict[int, T], number: int, value: T | None) -> None:
        if value is None:
            known.pop(number, None)
        else:
            known[number] = value


def _shown(key: bytes) -> str:
    return key[: json_record.SHOWN].decode(errors="backslashreplace")


async def read_role(etcd: Etcd, keys: Keys) -> RoleSnapshot:
    """Read the keys of one role, all as of one revision. Raises etcd's errors."""
    sessions = await etcd.range(keys.active)
    ha = await etcd.range(keys.ha, revision=sessions.revision)
    reducer = SnapshotReducer(keys)
    reducer.take(keys.active, Listing(sessions.kvs, sessions.revision), 0.0)
    reducer.take(keys.ha, Listing(ha.kvs, ha.revision), 0.0)
    return reducer.snapshot()
