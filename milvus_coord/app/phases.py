"""What the world outside is shown of the phases of a process."""

from __future__ import annotations

from milvus_coord.ha.election.lifecycle import Lifecycle
from milvus_coord.model.states import Phase
from milvus_coord.runtime.notify import Notifier
from milvus_coord.telemetry.metrics import Metrics


def show_phases(role: str, lifecycle: Lifecycle, metrics: Metrics, notifier: Notifier) -> None:
    """Let metrics and the service manager know each phase from now on."""
    active = metrics.gauge("milvus_num_node", "active coordinators", ("node_id", "role_name"))
    epoch = metrics.gauge("milvus_coord_epoch", "epoch of our term, 0 when not leading")
    terms = metrics.counter("milvus_coord_term_count", "terms that came to serve")
    refused = metrics.counter(
        "milvus_coord_fenced_off_count", "terms that ended by a refused write"
    )

    def on(phase: Phase) -> None:
        labels = (str(lifecycle.server_id), role)
        epoch.set(lifecycle.epoch)
        notifier.status(f"{phase.value}, server id {lifecycle.server_id}")
        if phase is Phase.ACTIVE:
            active.labels(*labels).set(1)
            terms.inc()
        elif phase is Phase.STEPPING_DOWN:
            active.remove(*labels)
            refused.inc(lifecycle.fenced_off)
        elif phase is Phase.STANDBY:
            notifier.ready()

    lifecycle.observe(on)
