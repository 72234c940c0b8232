"""Follow the session keys of one role, for the life of the process."""

from __future__ import annotations

from milvus_coord.etcd.follow import follow_prefix
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.etcd.values import Batch, Event, EventKind, KeyValue, Listing
from milvus_coord.ha.pair.keys import Keys
from milvus_coord.ha.pair.roster import Roster
from milvus_coord.ha.pair.session_record import SessionRecord
from milvus_coord.model.errors import BadValue
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.signal import Signal
from milvus_coord.telemetry.log import log


class SessionsWatch:
    """Keeps a `Roster` true to etcd; `changed` rings after each change."""

    def __init__(self, etcd: Etcd, clock: Clock, keys: Keys) -> None:
        self._etcd, self._clock, self._keys = etcd, clock, keys
        self.roster = Roster(keys)
        self.changed = Signal()

    async def run(self) -> None:
        """Follow until cancelled. The follower resumes by itself; what it cannot run, we do."""
        await follow_prefix(
            self._etcd, self._clock, self._keys.active, self._take, what="session keys"
        )

    def observe(self, active: KeyValue | None, revision: int) -> None:
        """Take the active key as some other call has just read it."""
        self.roster.observe(active, revision)
        self.changed.notify()

    def _take(self, news: Listing | Batch) -> None:
        if isinstance(news, Listing):
            self.roster.reset(news.kvs, news.revision)
            for kv in news.kvs:
                self._check(kv)
        else:
            for event in news.events:
                self._on(event)
        self.changed.notify()

    def _on(self, event: Event) -> None:
        self.roster.on(event)
        if not self._keys.is_session(event.kv.key):
            return
        deleted = event.kind is EventKind.DELETE
        if not deleted:
            self._check(event.kv)
        log.debug("watch the ACTIVE key", **{"DELETE" if deleted else "ADD": _text(event.kv)})

    def _check(self, kv: KeyValue) -> None:
        """Junk makes every Go client of this role fail: say where it is."""
        if not self._keys.is_session(kv.key):
            return
        try:
            SessionRecord.decode(kv.key, kv.value)
        except BadValue as error:
            log.warn("a session key is not readable, its value is ignored", error=str(error))


def _text(kv: KeyValue) -> str:
    """A key-value as Go logs it: protobuf's text form, absent fields left out."""
    fields = [f'key:"{kv.key.decode(errors="replace")}"']
    numbers = {"create_revision": kv.create_revision, "mod_revision": kv.mod_revision}
    fields += [f"{name}:{number}" for name, number in numbers.items() if number]
    if kv.version:
        fields.append(f"version:{kv.version}")
    if kv.value:
        escaped = kv.value.decode(errors="replace").replace('"', '\\"')
        fields.append(f'value:"{escaped}"')
    if kv.lease:
        fields.append(f"lease:{kv.lease}")
    return " ".join(fields) + " "
