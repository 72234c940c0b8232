"""What the session keys of one role say: who is active, who else is there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from milvus_coord.etcd.values import Event, EventKind, KeyValue
from milvus_coord.ha.pair.keys import Keys
from milvus_coord.ha.pair.session_record import SessionRecord
from milvus_coord.model.errors import BadValue


@dataclass(slots=True)
class Roster:
    """The newest known active key and instance keys; fed by a listing and then by events.

    `active_revision` is the revision of the last change of the active key that was seen, its
    deletion included. `last_holder` is the last readable record that the active key held: it stays
    when the active key is gone.
    """

    keys: Keys
    revision: int = 0
    active: KeyValue | None = None
    active_revision: int = 0
    last_holder: SessionRecord | None = None
    instances: dict[bytes, KeyValue] = field(default_factory=dict)

    def reset(self, kvs: Iterable[KeyValue], revision: int) -> None:
        """Take a whole listing of the prefix, read at `revision`."""
        found = {kv.key: kv for kv in kvs if self.keys.is_session(kv.key)}
        self.instances = {key: kv for key, kv in found.items() if key != self.keys.active}
        self.revision = max(self.revision, revision)
        self.observe(found.get(self.keys.active), revision)

    def observe(self, active: KeyValue | None, revision: int) -> None:
        """Take the active key as it was read at `revision`, unless something newer is known."""
        changed = active.mod_revision if active else revision
        if changed <= self.active_revision:
            return
        self.active, self.active_revision = active, changed
        if active is not None:
            self.last_holder = holder_of(active) or self.last_holder

    def on(self, event: Event) -> None:
        """Take one event of the watch."""
        kv = event.kv
        self.revision = max(self.revision, kv.mod_revision)
        gone = event.kind is EventKind.DELETE
        if kv.key == self.keys.active:
            self.observe(None if gone else kv, kv.mod_revision)
        elif not self.keys.is_session(kv.key):
            return
        elif gone:
            self.instances.pop(kv.key, None)
        else:
            self.instances[kv.key] = kv


def holder_of(active: KeyValue) -> SessionRecord | None:
    """The record in the active key, or None when the active key is junk."""
    try:
        return SessionRecord.decode(active.key, active.value)
    except BadValue:
        return None
