"""RootCoord's metrics, under the names of Milvus 2.2."""

from __future__ import annotations

from milvus_coord.telemetry.metrics import Metrics


class RootCoordMetrics:
    """Bound once; values mean what they mean in Go 2.2.16."""

    def __init__(self, metrics: Metrics) -> None:
        self.timestamp = metrics.gauge(
            "milvus_rootcoord_timestamp", "last hybrid timestamp handed out"
        )
        self.timestamp_saved = metrics.gauge(
            "milvus_rootcoord_timestamp_saved", "stored bound of the timestamps, Unix seconds"
        )
        self.ids = metrics.counter("milvus_rootcoord_id_alloc_count", "ids handed out")
