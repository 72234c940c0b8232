"""What this instance says about itself in etcd, each second; that it can is half of the proof."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from milvus_coord.etcd.errors import EtcdError, LeaseNotFound
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.etcd.txn import Txn, lease_is, put
from milvus_coord.ha.detection.etcd_latency import EtcdLatency
from milvus_coord.ha.election.lifecycle import Lifecycle
from milvus_coord.ha.election.serve_lease import ServeLease
from milvus_coord.ha.election.session import Session
from milvus_coord.ha.election.term import Leader
from milvus_coord.ha.metrics import HaMetrics
from milvus_coord.ha.pair.instance_status import InstanceStatus
from milvus_coord.ha.pair.keys import Keys
from milvus_coord.ha.settings import WRITE_S, HaSettings
from milvus_coord.model.states import Phase
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.retry import Retry

EVERY_S: Final = 1.0
LOOK_S: Final = 0.1


class StatusPublisher:
    """Whether we could take over now, and how we are.

    Attributes:
        rest_s: how long we rest before the next try to lead; `rest_why` says after what.
        serve: the serve lease of the term that we lead, else None.
    """

    def __init__(
        self,
        etcd: Etcd,
        clock: Clock,
        keys: Keys,
        settings: HaSettings,
        lifecycle: Lifecycle,
        leader: Leader,
        metrics: HaMetrics,
        loop_lag_s: Callable[[], float],
    ) -> None:
        self._etcd, self._clock, self._keys, self._settings = etcd, clock, keys, settings
        self._lifecycle, self._leader, self._metrics = lifecycle, leader, metrics
        self._loop_lag_s = loop_lag_s
        self._said_revision = self._due_revision = 0
        self.etcd_latency = EtcdLatency(clock, metrics.wrote)
        self.rest_s, self.rest_why = 0.0, ""
        self.serve: ServeLease | None = None

    @property
    def ready(self) -> bool:
        """Whether we would take the active key over at once if it were given to us."""
        return self._lifecycle.phase is Phase.STANDBY and not self.why_not_ready()

    @property
    def behind(self) -> int | None:
        """How many revisions the mirror has not seen of those made before the last look.

        The status that we write is in the range that the mirror follows; a second later we look
        whether it has come back. None when it is not synced, or nobody has looked yet.
        """
        mirror = self._leader.mirror
        if mirror is None or not self._due_revision:
            return None
        return mirror.lag(self._due_revision)

    def why_not_ready(self) -> tuple[str, ...]:
        """Why another one should lead, if there is one; empty when we would lead well at once."""
        reasons = [*self.obstacles(), *self._leader.lacks]
        if (slow_s := self.etcd_latency.typical_s) > self._settings.serve_lease_s / 2:
            reasons.append(f"etcd takes {slow_s:.1f} s for a write")
        return tuple(reasons)

    def obstacles(self) -> tuple[str, ...]:
        """Why we could not lead at once; empty when we could."""
        reasons = list(self._leader.obstacles)
        if self.rest_s:
            reasons.append(f"resting {self.rest_s:.1f} s after {self.rest_why}")
        if self.behind:
            reasons.append(f"mirror is {self.behind} revisions behind")
        return tuple(reasons)

    async def publish(self, session: Session) -> None:
        """Say how we are every second, and when that changes. Never returns."""
        retry = Retry(self._clock, "publish the instance status", on=(EtcdError,))
        said: tuple[object, ...] | None = None
        due_at = self._clock.boottime()
        while True:
            due = self._clock.boottime() >= due_at
            if due:
                self._measure(session)
            status = self._status(session)
            news = (status.phase, status.ready, status.why, status.epoch)
            if due or news != said:
                try:
                    await self._say(session, status)
                except LeaseNotFound:
                    pass
                except EtcdError as error:
                    await retry.wait(error)
                else:
                    retry.succeeded()
                    said = news
                    if due:
                        due_at = self._clock.boottime() + EVERY_S
            await self._clock.sleep(LOOK_S)

    async def _say(self, session: Session, status: InstanceStatus) -> None:
        server_id = session.record.server_id
        alive = lease_is(self._keys.instance(server_id), session.lease)
        saying = put(self._keys.status(server_id), status.encode(), session.lease)
        writing = self._etcd.txn(Txn((alive,), (saying,)), timeout_s=WRITE_S)
        result = await self.etcd_latency.timed(writing)
        if result.succeeded:
            self._said_revision = result.revision

    def _measure(self, session: Session) -> None:
        """Set the gauges; by now the mirror should have seen our last status."""
        self._due_revision = self._said_revision
        self._metrics.stands(
            lease_age_ms=self._age_ms(session.renewed_at),
            serve_age_ms=self._serve_age_ms(),
            behind=self.behind,
            loop_lag_ms=round(self._loop_lag_s() * 1000),
            ready=self.ready,
        )

    def _status(self, session: Session) -> InstanceStatus:
        lifecycle, mirror = self._lifecycle, self._leader.mirror
        leading = lifecycle.phase in (Phase.ACTIVATING, Phase.ACTIVE)
        return InstanceStatus(
            server_id=session.record.server_id,
            phase=lifecycle.phase,
            ready=self.ready,
            why=self._leader.troubles if leading else self.why_not_ready(),
            address=self._settings.address,
            management=self._settings.management,
            version=self._settings.version,
            epoch=lifecycle.epoch,
            lease_age_ms=self._age_ms(session.renewed_at),
            serve_age_ms=self._serve_age_ms(),
            revision=mirror.revision if mirror is not None else 0,
            behind=self.behind,
            etcd_ms=round(self.etcd_latency.worst_s * 1000),
            loop_lag_ms=round(self._loop_lag_s() * 1000),
        )

    def _serve_age_ms(self) -> int | None:
        return None if self.serve is None else round(self.serve.age_s * 1000)

    def _age_ms(self, since_s: float) -> int:
        return round((self._clock.boottime() - since_s) * 1000)
