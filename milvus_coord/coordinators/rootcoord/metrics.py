"""RootCoord's metrics, under the names of Milvus 2.2."""

from __future__ import annotations

from milvus_coord.coordinators.rootcoord.metadata.state import MetaState
from milvus_coord.coordinators.rootcoord.quota.rules_rates import DenyReason
from milvus_coord.telemetry.metrics import Metrics

_QUOTA_STATES = {
    DenyReason.MEMORY_QUOTA_EXHAUSTED: "MemoryQuotaExhausted",
    DenyReason.DISK_QUOTA_EXHAUSTED: "DiskQuotaExhausted",
    DenyReason.TIME_TICK_LONG_DELAY: "TimeTickLongDelay",
}


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
        self.proxies = metrics.gauge("milvus_rootcoord_proxy_num", "proxies with a session")
        self._calls = metrics.counter(
            "milvus_rootcoord_ddl_req_count",
            "calls about metadata",
            ("function_name", "status"),
        )
        self._call_ms = metrics.histogram(
            "milvus_rootcoord_ddl_req_latency",
            "milliseconds of a call about metadata",
            ("function_name",),
        )
        self._tick_lag = metrics.gauge(
            "milvus_rootcoord_produce_tt_lag_ms",
            "how far the last time tick lies behind the wall clock",
            ("channel_name",),
        )
        self._tick_round = metrics.histogram(
            "milvus_rootcoord_sync_timetick_latency", "milliseconds of one round of time ticks"
        )
        self._databases = metrics.gauge("milvus_rootcoord_database_num", "databases")
        self._collections = metrics.gauge("milvus_rootcoord_collection_num", "collections")
        self._partitions = metrics.gauge("milvus_rootcoord_partition_num", "partitions")
        self._channels = metrics.gauge("milvus_rootcoord_dml_channel_num", "channels in use")
        self._streams = metrics.gauge("milvus_rootcoord_msgstream_obj_num", "channels in the pool")
        self._users = metrics.gauge("milvus_rootcoord_credential_num", "users")
        self._roles = metrics.gauge("milvus_rootcoord_num_of_roles", "roles")
        self._quota_states = metrics.gauge(
            "milvus_rootcoord_quota_states",
            "1 while a collection is denied for this reason",
            ("quota_states",),
        )

    def call(self, rpc: str, success: bool, seconds: float) -> None:
        """A call about metadata has been answered."""
        self._calls.labels(rpc, "total").inc()
        self._calls.labels(rpc, "success" if success else "fail").inc()
        self._call_ms.labels(rpc).observe(seconds * 1000)

    def sent(self, channel: str, lag_ms: int) -> None:
        """A time tick goes out."""
        self._tick_lag.labels(channel).set(lag_ms)

    def round_done(self, elapsed_ms: float) -> None:
        """All ticks that went out together are through."""
        self._tick_round.observe(elapsed_ms)

    def unused(self, channel: str) -> None:
        """A channel gets no more ticks."""
        self._tick_lag.remove(channel)

    def quota_state(self, reason: DenyReason, denied: bool) -> None:
        """Whether anything is denied for this reason; Go 2.2.16 shows three of them."""
        if (name := _QUOTA_STATES.get(reason)) is not None:
            self._quota_states.labels(name).set(denied)

    def counts(self, state: MetaState, *, channels: int, pool: int) -> None:
        """How much there is."""
        self._databases.set(sum(1 for _ in state.databases()))
        self._collections.set(state.count())
        self._partitions.set(state.partition_count())
        self._channels.set(channels)
        self._streams.set(pool)
        self._users.set(state.access.user_count)
        self._roles.set(state.access.role_count)
