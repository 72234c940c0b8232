"""What etcd answers, as plain values; keys and values are bytes."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class EventKind(enum.Enum):
    """What happened to a key."""

    PUT = "put"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class KeyValue:
    """One key as it is at some revision; `lease` is 0 for none, `version` counts its writes."""

    key: bytes
    value: bytes
    lease: int
    version: int
    create_revision: int
    mod_revision: int


@dataclass(frozen=True, slots=True)
class Event:
    """One change of one key.

    In a DELETE, `kv` has the key and, as `mod_revision`, the revision of the deletion; the rest is
    empty.
    """

    kind: EventKind
    kv: KeyValue


@dataclass(frozen=True, slots=True)
class Batch:
    """Events in order, whole revisions only; `revision` is that of the last event."""

    events: tuple[Event, ...]
    revision: int


@dataclass(frozen=True, slots=True)
class Listing:
    """All keys under a prefix at `revision`, in the order of their keys."""

    kvs: tuple[KeyValue, ...]
    revision: int


@dataclass(frozen=True, slots=True)
class GetResult:
    """One key or None, and the revision of the store when it was read."""

    kv: KeyValue | None
    revision: int


@dataclass(frozen=True, slots=True)
class RangeResult:
    """Keys in order, all as they were at `revision`."""

    kvs: tuple[KeyValue, ...]
    revision: int


@dataclass(frozen=True, slots=True)
class Lease:
    """A granted lease; etcd may grant more seconds than asked, 2 at least by default."""

    id: int
    ttl_s: int


@dataclass(frozen=True, slots=True)
class LeaseStatus:
    """Whole seconds left, rounded down, -1 when the lease is gone; and the seconds granted."""

    ttl_s: int
    granted_ttl_s: int


@dataclass(frozen=True, slots=True)
class ClusterMember:
    """One member as the cluster knows it; `client_urls` is empty until it has started once."""

    name: str
    client_urls: tuple[str, ...]
    is_learner: bool = False


@dataclass(frozen=True, slots=True)
class MemberStatus:
    """One endpoint: what it says of itself, or in `error` why it says nothing.

    `quota_bytes` is told by etcd 3.6 and later, else it is 0. `cluster_id` is the same for all
    members of one cluster.
    """

    endpoint: str
    version: str = ""
    is_leader: bool = False
    has_leader: bool = False
    db_bytes: int = 0
    quota_bytes: int = 0
    alarms: tuple[str, ...] = ()
    error: str = ""
    cluster_id: int = 0
