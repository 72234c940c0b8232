"""The settings that DDL statements obey."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DdlLimits:
    """Keys of Milvus' configuration, with the defaults of its milvus.yaml 2.2.16.

    `dml_prefix` is `<common.chanNamePrefix.cluster>-<rootCoordDml>`, before `_<index>`.
    """

    dml_prefix: str = "by-dev-rootcoord-dml"
    dml_channel_num: int = 16  # rootCoord.dmlChannelNum
    max_shard_num: int = 16  # proxy.maxShardNum
    max_collections: int = 65536  # quotaAndLimits.limits.maxCollectionNum
    max_collections_per_db: int = 65536  # quotaAndLimits.limits.maxCollectionNumPerDB
    max_databases: int = 64  # rootCoord.maxDatabaseNum, `default` not counted
    max_partitions: int = 4096  # rootCoord.maxPartitionNum
    default_partition_name: str = "_default"  # common.defaultPartitionName
    auto_index: bool = False  # autoIndex.enable
