"""What this process knows of its pair: the keys of the role, followed as long as it lives."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from milvus_coord.etcd.errors import EtcdError
from milvus_coord.etcd.follow import follow_prefix
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.etcd.values import Batch, Event, EventKind, KeyValue, Listing
from milvus_coord.ha.pair.keys import Keys
from milvus_coord.ha.pair.role_snapshot import RoleSnapshot
from milvus_coord.ha.pair.snapshot_reducer import SnapshotReducer
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.signal import Signal
from milvus_coord.runtime.taskgroup import TaskGroup
from milvus_coord.telemetry.log import log


class PairState:
    """Attributes: snapshot: the newest. `changed` is notified after each change of it.

    It is shared where several states are followed together.
    """

    def __init__(self, etcd: Etcd, clock: Clock, keys: Keys, changed: Signal | None = None) -> None:
        self._etcd, self._clock, self._keys = etcd, clock, keys
        self._reducer = SnapshotReducer(keys)
        self.snapshot: RoleSnapshot = self._reducer.snapshot()
        self.changed = changed or Signal()

    async def follow(self, on: tuple[type[EtcdError], ...] = (EtcdError,)) -> None:
        """Follow until cancelled; errors of the classes `on` are waited out, others are raised."""
        what = {self._keys.active: "session keys", self._keys.ha: "pair's keys"}
        async with TaskGroup() as tasks:
            for prefix, name in what.items():
                take = partial(self._take, prefix)
                following = follow_prefix(self._etcd, self._clock, prefix, take, what=name, on=on)
                tasks.create_task(following, name=f"ha.follow {name}")

    def observe_active(self, active: KeyValue | None, revision: int) -> None:
        """Take the active key as some other call has just read it."""
        self._reducer.observe_active(active, revision)
        self._publish()

    def ready(self, *, besides: int) -> list[int]:
        """Server ids that could take over now, the one heard last first; never `besides`."""
        return self.snapshot.ready(self._clock.boottime(), besides=besides)

    def _take(self, prefix: bytes, news: Listing | Batch) -> None:
        before, unreadable = self.snapshot, dict(self._reducer.unreadable)
        self._reducer.take(prefix, news, self._clock.boottime())
        self._publish()
        if isinstance(news, Batch) and prefix == self._keys.active:
            for event in news.events:
                self._log_session(event)
        self._log_unreadable(unreadable)
        self._log_pause(before)

    def _publish(self) -> None:
        self.snapshot = self._reducer.snapshot()
        self.changed.notify()

    def _log_session(self, event: Event) -> None:
        if self._keys.is_session(event.kv.key):
            kind = "DELETE" if event.kind is EventKind.DELETE else "ADD"
            log.debug("watch the ACTIVE key", **{kind: _text(event.kv)})

    def _log_unreadable(self, before: Mapping[bytes, str]) -> None:
        """Junk under a session key makes every Go client of the role fail: say where it is."""
        for key, sentence in self._reducer.unreadable.items():
            if before.get(key) == sentence:
                continue
            if key.startswith(self._keys.ha):
                log.warn("a key of the pair is not readable, its value is ignored", error=sentence)
            elif self._keys.is_session(key):
                log.warn("a session key is not readable, its value is ignored", error=sentence)

    def _log_pause(self, before: RoleSnapshot) -> None:
        pause = self.snapshot.pause
        if (pause is None) == (before.pause is None):
            return
        if pause is None:
            log.info("resumed: early replacement and switchover are possible again")
        else:
            log.warn("paused: no early replacement and no switchover", by=pause.by)


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
