"""RootCoord's section, and what of other sections it enforces or keeps pace with."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from milvus_coord.config.fallback import Fallback, above, always, between
from milvus_coord.config.kinds import Flag, Real, Whole, Word
from milvus_coord.config.role import Coordinator, Port
from milvus_coord.config.section import Section
from milvus_coord.model.channels import CHANNELS_MAX


class RootCoord(Coordinator):
    """`rootCoord.*`."""

    needs_queue: ClassVar[bool] = True

    port: Port = 53100
    # Go takes 256 where the key is not in the file; here it is the shipped value.
    dml_channel_num: Annotated[int, Whole(1, CHANNELS_MAX)] = 16
    max_database_num: Annotated[int, Whole(0)] = 64
    max_partition_num: Annotated[int, Whole(1)] = 4096
    min_segment_size_to_enable_index: Annotated[int, Whole(0)] = 1024
    import_task_expiration_s: Annotated[float, Real(above=0, high=1e9, unit="s")] = Field(
        default=900.0, alias="importTaskExpiration"
    )
    import_task_retention_s: Annotated[float, Real(above=0, high=1e9, unit="s")] = Field(
        default=86400.0, alias="importTaskRetention"
    )
    import_max_pending_task_count: Annotated[int, Whole(0)] = 65536
    import_task_sub_path: Annotated[str, Word()] = "importtask"


class Proxy(Section):
    """`proxy.*`: what of the proxies' section RootCoord enforces or keeps pace with."""

    # Go ticks as often as it is told; ours has bounds.
    time_tick_interval_ms: Annotated[
        int,
        Whole(10, 60_000, unit="ms"),
        Fallback(between(1, 9), always("10")),
        Fallback(above(60_000), always("60000")),
    ] = Field(default=200, alias="timeTickInterval")
    # Go takes 64 where the key is not in the file; here it is the shipped value.
    max_shard_num: Annotated[int, Whole(1)] = 16
    max_user_num: Annotated[int, Whole(1)] = 100
    max_role_num: Annotated[int, Whole(1)] = 10


class AutoIndex(Section):
    """`autoIndex.*`: with it, no binary vector can be made."""

    enable: Annotated[bool, Flag()] = False
