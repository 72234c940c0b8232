"""The rates of a collection, as RootCoord tells them to the proxies."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

UNLIMITED: Final = sys.float_info.max
"""Milvus writes "no limit" as the largest number, in the configuration and on the wire."""


class RateType(IntEnum):
    """Numbers of `milvus.proto.internal.RateType`; DDL rates are the proxies' own business."""

    DML_INSERT = 5
    DML_DELETE = 6
    DML_BULK_LOAD = 7
    DQL_SEARCH = 8
    DQL_QUERY = 9


WRITES: Final = (RateType.DML_INSERT, RateType.DML_DELETE, RateType.DML_BULK_LOAD)
READS: Final = (RateType.DQL_SEARCH, RateType.DQL_QUERY)


class QuotaState(IntEnum):
    """Numbers of `milvus.proto.milvus.QuotaState`."""

    DENY_TO_READ = 4
    DENY_TO_WRITE = 5


class DenyReason(IntEnum):
    """Why a collection is denied; numbers of `milvus.proto.common.ErrorCode`."""

    FORCE_DENY = 48
    MEMORY_QUOTA_EXHAUSTED = 53
    DISK_QUOTA_EXHAUSTED = 54
    TIME_TICK_LONG_DELAY = 55


@dataclass(frozen=True, slots=True)
class CollectionQuota:
    """The rates of one collection, cluster-wide: bytes a second, or vectors and queries a second.

    `states` are what is denied to it, and why.
    """

    collection_id: int
    rates: dict[RateType, float]
    states: dict[QuotaState, DenyReason]
