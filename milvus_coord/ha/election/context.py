"""What standbys and leaders of one process work with."""

from __future__ import annotations

from dataclasses import dataclass

from milvus_coord.etcd.protocol import Etcd
from milvus_coord.ha.election.status_publisher import StatusPublisher
from milvus_coord.ha.election.term import Leader
from milvus_coord.ha.metrics import HaMetrics
from milvus_coord.ha.pair.keys import Keys
from milvus_coord.ha.pair.pair_state import PairState
from milvus_coord.ha.settings import HaSettings
from milvus_coord.runtime.clock import Clock


@dataclass(frozen=True, slots=True)
class HaContext:
    """All of it lives as long as the process."""

    etcd: Etcd
    clock: Clock
    keys: Keys
    settings: HaSettings
    pair: PairState
    publisher: StatusPublisher
    leader: Leader
    metrics: HaMetrics
