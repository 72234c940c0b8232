"""What the instances of ours tell each other in etcd, as this one hears it: one watch for all."""

from __future__ import annotations

from typing import Final

from milvus_coord.etcd.follow import follow_prefix
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.etcd.values import Batch, EventKind, KeyValue, Listing
from milvus_coord.ha.pair.challenge_record import Challenge
from milvus_coord.ha.pair.instance_status import InstanceStatus
from milvus_coord.ha.pair.keys import Keys
from milvus_coord.ha.pair.operator_records import Pause, SwitchoverRequest
from milvus_coord.ha.pair.takeover import Takeover
from milvus_coord.model.errors import BadValue
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.signal import Signal
from milvus_coord.telemetry.log import log

FRESH_S: Final = 2.5


class PairState:
    """All below `<meta>/ha/<role>/`; `changed` rings after each change.

    Attributes:
        read: whether the first listing has come.
        pause: there while the pair is paused.
        request: the switchover key and what it holds.
        history: takeovers by their keys, in order.
        challenges: the nonce under each challenge key.
        answers: the nonce under each answer key.
    """

    def __init__(self, etcd: Etcd, clock: Clock, keys: Keys) -> None:
        self._etcd, self._clock, self._keys = etcd, clock, keys
        self._heard: dict[bytes, tuple[InstanceStatus, float]] = {}
        self.changed = Signal()
        self.read = False
        self.pause: Pause | None = None
        self.request: tuple[KeyValue, SwitchoverRequest] | None = None
        self.history: dict[bytes, Takeover] = {}
        self.challenges: dict[bytes, Challenge] = {}
        self.answers: dict[bytes, Challenge] = {}

    async def listen(self) -> None:
        """Follow until cancelled.

        A status in the first listing is not heard: it may be as old as a lease.
        """
        await follow_prefix(self._etcd, self._clock, self._keys.ha, self._take, what="pair's keys")

    def ready(self, *, besides: int) -> list[int]:
        """Server ids that could take over now, the one heard last first; never `besides`."""
        fresh_after = self._clock.boottime() - FRESH_S
        heard = sorted(self._heard.values(), key=lambda entry: entry[1], reverse=True)
        return [
            status.server_id
            for status, at in heard
            if status.ready and at > fresh_after and status.server_id != besides
        ]

    def _take(self, news: Listing | Batch) -> None:
        if isinstance(news, Listing):
            self._forget()
            for kv in news.kvs:
                if not kv.key.startswith(self._keys.statuses):
                    self._put(kv)
            self.read = True
        else:
            for event in news.events:
                if event.kind is EventKind.DELETE:
                    self._delete(event.kv.key)
                else:
                    self._put(event.kv)
        self.changed.notify()

    def _forget(self) -> None:
        self.pause = self.request = None
        for known in (self.history, self.challenges, self.answers):
            known.clear()

    def _put(self, kv: KeyValue) -> None:
        keys, key = self._keys, kv.key
        try:
            if key.startswith(keys.statuses):
                status = InstanceStatus.decode(key, kv.value)
                self._heard[key] = (status, self._clock.boottime())
            elif key.startswith(keys.challenges):
                self.challenges[key] = Challenge.decode(key, kv.value)
            elif key.startswith(keys.answers):
                self.answers[key] = Challenge.decode(key, kv.value)
            elif key.startswith(keys.history):
                self.history[key] = Takeover.decode(key, kv.value)
            elif key == keys.paused:
                self._pause(Pause.decode(key, kv.value))
            elif key == keys.switchover:
                self.request = (kv, SwitchoverRequest.decode(key, kv.value))
        except BadValue as error:
            log.warn("a key of the pair is not readable, its value is ignored", error=str(error))
            if key == keys.paused:  # somebody meant to pause
                self._pause(Pause("unknown", 0, "the pause key is not readable"))
            else:
                self._delete(key)

    def _delete(self, key: bytes) -> None:
        if key == self._keys.paused:
            self._pause(None)
        elif key == self._keys.switchover:
            self.request = None
        self._heard.pop(key, None)
        self.challenges.pop(key, None)
        self.answers.pop(key, None)
        self.history.pop(key, None)

    def _pause(self, pause: Pause | None) -> None:
        if (pause is None) == (self.pause is None):
            self.pause = pause
            return
        self.pause = pause
        if pause is None:
            log.info("resumed: early replacement and switchover are possible again")
        else:
            log.warn("paused: no early replacement and no switchover", by=pause.by)
