"""`common.*` and its older twin `msgChannel.*`, and the certificate files of `tls.*`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from milvus_coord.config.fallback import Fallback, always, below
from milvus_coord.config.kinds import Whole, Word
from milvus_coord.config.section import Section

ChannelName = Literal["root_coord_time_tick", "root_coord_statistics", "root_coord_dml"]
Name = Annotated[str, Word()]
OlderName = Annotated[str | None, Word()]


class Session(Section):
    """`common.session.*`: lease seconds of a session, and how often registering is tried."""

    # etcd grants 2 s to whoever asks for less.
    ttl: Annotated[int, Whole(2, 9_000_000_000, unit="s"), Fallback(below(2), always("2"))] = 20
    retry_times: Annotated[int, Whole(1), Fallback(below(1))] = 30


class ChanNamePrefix(Section):
    """`common.chanNamePrefix.*`: the cluster's name, and topics without that in front."""

    cluster: Name = "by-dev"
    root_coord_time_tick: Name = "rootcoord-timetick"
    root_coord_statistics: Name = "rootcoord-statistics"
    root_coord_dml: Name = "rootcoord-dml"


class Common(Section):
    """`common.*`."""

    session: Session = Session()
    chan_name_prefix: ChanNamePrefix = ChanNamePrefix()
    graceful_stop_timeout_s: Annotated[int, Whole(0, unit="s"), Fallback(below(0), always("0"))] = (
        Field(default=1800, alias="gracefulStopTimeout")
    )
    default_partition_name: Name = "_default"
    retention_duration_s: Annotated[int, Whole(0, unit="s")] = Field(
        default=0, alias="retentionDuration"
    )

    def channel(self, name: ChannelName) -> str:
        """The full topic name, "by-dev-rootcoord-timetick"."""
        value: str = getattr(self.chan_name_prefix, name)
        return f"{self.chan_name_prefix.cluster}-{value}"


class OlderChanNamePrefix(Section):
    """`msgChannel.chanNamePrefix.*`: where set, it wins over `common.*` of any source, as in Go."""

    cluster: OlderName = None
    root_coord_time_tick: OlderName = None
    root_coord_statistics: OlderName = None
    root_coord_dml: OlderName = None


class MsgChannel(Section):
    """`msgChannel.*`, the spelling before Milvus 2.1."""

    chan_name_prefix: OlderChanNamePrefix = OlderChanNamePrefix()
