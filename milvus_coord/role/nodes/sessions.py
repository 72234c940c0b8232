"""Which nodes of one kind have a session in etcd: listed once, then followed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from milvus_coord.etcd.follow import follow_prefix
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.etcd.values import Batch, EventKind, KeyValue, Listing
from milvus_coord.ha.pair.keys import Keys, number_after
from milvus_coord.ha.pair.session_record import SessionRecord
from milvus_coord.model.errors import BadValue
from milvus_coord.runtime.clock import Clock
from milvus_coord.telemetry.log import log


@dataclass(frozen=True, slots=True)
class NodeChanges:
    """What the first listing, or an event, has changed; `nodes` are all that are there now.

    `changed` have another session than before, `stopping` perhaps.
    """

    nodes: Mapping[int, SessionRecord]
    joined: tuple[SessionRecord, ...] = ()
    changed: tuple[SessionRecord, ...] = ()
    left: tuple[SessionRecord, ...] = ()

    @classmethod
    def between(
        cls, before: Mapping[int, SessionRecord], now: Mapping[int, SessionRecord]
    ) -> NodeChanges:
        """The difference of two sets of nodes."""
        return cls(
            nodes=now,
            joined=tuple(each for id_, each in now.items() if id_ not in before),
            changed=tuple(e for id_, e in now.items() if id_ in before and before[id_] != e),
            left=tuple(each for id_, each in before.items() if id_ not in now),
        )

    def __bool__(self) -> bool:
        return bool(self.joined or self.changed or self.left)


class NodeSessions:
    """Keeps the sessions `<meta_root>/session/<kind>-<id>` true to etcd.

    Args:
        kind: `proxy`, `datanode`, `indexnode` or `querynode`.
        on_change: called after the first listing, also when nobody is there, and after each change.
    """

    def __init__(
        self,
        etcd: Etcd,
        clock: Clock,
        meta_root: str,
        kind: str,
        on_change: Callable[[NodeChanges], None],
    ) -> None:
        self._etcd, self._clock = etcd, clock
        self._kind, self._on_change = kind, on_change
        self._prefix = Keys(meta_root, kind).instances
        self._nodes: dict[int, SessionRecord] = {}
        self._listed = False

    async def run(self) -> None:
        """Follow until cancelled; while etcd is away nobody has gone."""
        what = f"sessions of {self._kind}"
        await follow_prefix(self._etcd, self._clock, self._prefix, self._take, what=what)

    def _take(self, news: Listing | Batch) -> None:
        before, self._nodes = self._nodes, dict(self._nodes)
        if isinstance(news, Listing):
            listed = {number_after(self._prefix, kv.key) for kv in news.kvs}
            for server_id in self._nodes.keys() - listed:
                del self._nodes[server_id]
            for kv in news.kvs:
                self._put(kv)
        else:
            for event in news.events:
                if event.kind is EventKind.PUT:
                    self._put(event.kv)
                elif (id_ := number_after(self._prefix, event.kv.key)) is not None:
                    self._nodes.pop(id_, None)
        changes = NodeChanges.between(before, self._nodes)
        self._log(changes)
        if changes or not self._listed:
            self._listed = True
            self._on_change(changes)

    def _put(self, kv: KeyValue) -> None:
        """A new value that cannot be read leaves a known node as it is: it may still write."""
        id_ = number_after(self._prefix, kv.key)
        if id_ is None:
            return
        try:
            session = SessionRecord.decode_callable(kv.key, kv.value)
            if session.server_id != id_:
                raise BadValue(f"{kv.key.decode()} holds no session: it is of {session.server_id}")
        except BadValue as error:
            log.warn("a session key is not readable, its value is ignored", error=str(error))
            return
        self._nodes[id_] = session

    def _log(self, changes: NodeChanges) -> None:
        for each in (*changes.joined, *changes.changed):
            facts = {"kind": self._kind, "id": each.server_id, "addr": each.address}
            if each.stopping:
                log.info("node is stopping", **facts)
            else:
                log.info("node is there", **facts)
        for each in changes.left:
            log.info("node is gone", kind=self._kind, id=each.server_id)
