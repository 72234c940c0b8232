"""The readings that the quota rules use, and the JSON in which nodes report them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from milvus_coord.model.errors import CoordError


class BadReport(CoordError):
    """A component's metrics are not what Milvus 2.2 sends."""


@dataclass(frozen=True, slots=True)
class NodeReading:
    """One query node or data node.

    `lag_behind` is the oldest hybrid timestamp that its flow graphs have reached, None without
    flow graphs. `waiting` counts the searches in its queues, `waits_ns` is how long reads wait.
    The last three are a query node's.
    """

    id: int
    collections: tuple[int, ...]
    memory: int
    memory_used: int
    lag_behind: int | None
    growing: int = 0
    waiting: int = 0
    waits_ns: int = 0


@dataclass(frozen=True, slots=True)
class Binlogs:
    """Bytes of binlogs, in all and of each collection."""

    total: int
    of_collection: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Readings:
    """One look at the whole cluster. `throughput` adds up the proxies' rates by their labels."""

    query_nodes: tuple[NodeReading, ...]
    data_nodes: tuple[NodeReading, ...]
    binlogs: Binlogs | None
    throughput: Mapping[str, float]

    @property
    def readable(self) -> frozenset[int]:
        """Collections that query nodes serve."""
        return frozenset(id_ for node in self.query_nodes for id_ in node.collections)

    @property
    def writable(self) -> frozenset[int]:
        """Collections that data nodes consume."""
        return frozenset(id_ for node in self.data_nodes for id_ in node.collections)


def query_cluster(text: str) -> tuple[NodeReading, ...]:
    """The query nodes in QueryCoord's `system_info`. Raises BadReport."""
    with _Reading("querycoord"):
        nodes = _nodes(json.loads(text))
        return tuple(_node(node, _queues(node["quota_metrics"])) for node in nodes)


def data_cluster(text: str) -> tuple[tuple[NodeReading, ...], Binlogs | None]:
    """The data nodes, and the binlogs' sizes, in DataCoord's `system_info`. Raises BadReport."""
    with _Reading("datacoord"):
        report = json.loads(text)
        nodes = tuple(_node(node, {}) for node in _nodes(report))
        own = ((report.get("cluster") or {}).get("self") or {}).get("quota_metrics")
        if own is None:
            return nodes, None
        sizes = own.get("CollectionBinlogSize") or {}
        per_collection = {_whole(id_): _whole(size) for id_, size in sizes.items()}
        return nodes, Binlogs(_whole(own.get("TotalBinlogSize")), per_collection)


def proxy_throughput(text: str) -> dict[str, float]:
    """Rates by label in one proxy's `system_info`. Raises BadReport."""
    with _Reading("proxy"):
        metrics = json.loads(text).get("quota_metrics") or {}
        return {str(rate["Label"]): _rate(rate["Rate"]) for rate in metrics.get("Rms") or ()}


_MALFORMED: Final = (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)
_WHOLE_MAX: Final = 2**64


def _whole(value: Any) -> int:
    """A number of a report; absent, null and empty are 0. Raises one of `_MALFORMED`."""
    number = int(value or 0)
    if abs(number) > _WHOLE_MAX:
        raise ValueError(f"a number of {number.bit_length()} bits")
    return number


def _rate(value: Any) -> float:
    """A number that JSON has. Raises one of `_MALFORMED`."""
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"a rate of {number}")
    return number


class _Reading:
    """Turns whatever goes wrong inside into BadReport."""

    def __init__(self, source: str) -> None:
        self._source = source

    def __enter__(self) -> None: ...

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, _MALFORMED):
            raise BadReport(f"metrics of {self._source} cannot be read: {error!r}") from error


def _nodes(report: Any) -> list[Any]:
    connected = (report.get("cluster") or {}).get("connected_nodes") or ()
    return [node for node in connected if node.get("quota_metrics") is not None]


def _node(node: Any, more: dict[str, int]) -> NodeReading:
    metrics = node["quota_metrics"]
    hardware, graphs = metrics.get("Hms") or {}, metrics.get("Fgm") or {}
    flows = _whole(graphs.get("NumFlowGraph")) > 0 and graphs.get("MinFlowGraphChannel")
    effect = metrics.get("Effect") or {}
    return NodeReading(
        id=_whole(node["id"]),
        collections=tuple(_whole(id_) for id_ in effect.get("CollectionIDs") or ()),
        memory=_whole(hardware.get("memory")),
        memory_used=_whole(hardware.get("memory_usage")),
        lag_behind=_whole(graphs.get("MinFlowGraphTt")) if flows else None,
        **more,
    )


def _queues(metrics: Any) -> dict[str, int]:
    search, query = metrics.get("SearchQueue") or {}, metrics.get("QueryQueue") or {}
    counts = ("UnsolvedQueue", "ReadyQueue", "ReceiveChan", "ExecuteChan")
    return {
        "growing": _whole(metrics.get("GrowingSegmentsSize")),
        "waiting": sum(_whole(search.get(name)) for name in counts),
        "waits_ns": max(_whole(queue.get("AvgQueueDuration")) for queue in (search, query)),
    }
