"""What the management port tells about this process and its pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from milvus_coord.ha.election.lifecycle import Lifecycle
from milvus_coord.ha.election.runner import HaRunner
from milvus_coord.model.states import Phase
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.watchdog import Pulse
from milvus_coord.telemetry.status import Check, Component, RoleView

STUCK_S: Final = 5.0

_POSITIONS: Final[Mapping[Phase, Literal["active", "standby"]]] = {
    Phase.ACTIVE: "active",
    Phase.STANDBY: "standby",
}


class Report:
    """Implements `telemetry.status.ProcessStatus`; answers from memory.

    `runner` is set once there is one; before that the process is still looking for etcd.
    """

    def __init__(self, role: str, clock: Clock, pulse: Pulse) -> None:
        self._role = role
        self._clock, self._pulse = clock, pulse
        self.lifecycle: Lifecycle | None = None
        self.runner: HaRunner | None = None

    def components(self) -> Sequence[Component]:
        code = self._phase.state_code
        return (Component(self._role, int(code), code.name),)

    def liveness(self) -> Sequence[Check]:
        lag_s = max(self._pulse.worst_lag_s, self._pulse.age_s())
        return (Check("main-loop", lag_s < STUCK_S, f"stood still for {lag_s:.1f} s"),)

    def readiness(self) -> Sequence[Check]:
        return (*self.liveness(), self._session(), self._position())

    def role(self) -> RoleView:
        lifecycle = self.lifecycle
        body: dict[str, object] = {
            "role": self._role,
            "phase": self._phase.value,
            "server_id": lifecycle.server_id if lifecycle else -1,
            "address": self.runner.address if self.runner else "",
            "epoch": lifecycle.epoch if lifecycle else 0,
            "since_s": round(self._clock.boottime() - lifecycle.since_s, 3) if lifecycle else 0,
            "holder": self._holder(),
            "lease_age_s": self._lease_age_s(),
            "serve_age_s": self._serve_age_s(),
            "behind": self.runner.publisher.behind if self.runner else None,
            "obstacles": list(self._obstacles()),
        }
        return RoleView(_POSITIONS.get(self._phase, "neither"), body)

    @property
    def _phase(self) -> Phase:
        return self.lifecycle.phase if self.lifecycle else Phase.STARTING

    def _session(self) -> Check:
        session = self.runner.session if self.runner else None
        if session is None:
            return Check("session", False, "not registered in etcd yet")
        left_s = session.good_until - self._clock.boottime()
        return Check("session", left_s > 0, f"the lease was due {-left_s:.1f} s ago")

    def _position(self) -> Check:
        """Active, or a standby that could take over now."""
        phase = self._phase
        if phase is Phase.STANDBY and self.runner is not None:
            why = "; ".join(self._obstacles())
            return Check("position", self.runner.ready, f"the standby cannot take over: {why}")
        return Check("position", phase is Phase.ACTIVE, f"the process is {phase.value}")

    def _holder(self) -> dict[str, object] | None:
        """Whose active key is, as last seen."""
        record = self.runner.pair.snapshot.holder if self.runner else None
        if record is None:
            return None
        return {"server_id": record.server_id, "address": record.address}

    def _obstacles(self) -> tuple[str, ...]:
        """Why a standby could not take over now."""
        if self.runner is None or self._phase is not Phase.STANDBY:
            return ()
        return self.runner.publisher.why_not_ready()

    def _serve_age_s(self) -> float | None:
        """Seconds since leadership was last proven, None for who does not lead."""
        serve = self.runner.publisher.serve if self.runner else None
        return None if serve is None else round(serve.age_s, 3)

    def _lease_age_s(self) -> float | None:
        """Seconds since the session lease was last renewed."""
        session = self.runner.session if self.runner else None
        return round(self._clock.boottime() - session.renewed_at, 3) if session else None
