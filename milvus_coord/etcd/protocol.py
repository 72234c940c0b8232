"""What the rest of the house asks of etcd: the client and its in-memory twin both answer it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final, Protocol

from milvus_coord.etcd.txn import Txn, TxnResult
from milvus_coord.etcd.values import (
    Batch,
    ClusterMember,
    GetResult,
    Lease,
    LeaseStatus,
    MemberStatus,
    RangeResult,
)
from milvus_coord.runtime.signal import Signal

PAGE_KEYS: Final = 8000
"""Asked for at once: etcd walks over the whole rest of a range for each page of it."""


class Watch(Protocol):
    """An endless stream of batches. Cancelling a wait for the next one loses nothing."""

    def __aiter__(self) -> AsyncIterator[Batch]: ...

    async def __anext__(self) -> Batch: ...

    async def aclose(self) -> None:
        """Give the stream up; always call it, after the last wait."""


class Etcd(Protocol):
    """Every call may raise `Unavailable`, `AuthFailed` and `PermissionDenied`.

    `timeout_s` bounds a call with all its attempts; None means the configured one. There is no
    plain put or delete: who writes, writes a transaction and says under which conditions.

    A member that belongs to another cluster than the first that answered counts as unreachable.
    """

    @property
    def replaced(self) -> Signal:
        """Notified when etcd has another past than it told: restored, made anew, exchanged.

        Nothing that was read or registered before holds then. Watches and pages that began before
        raise Compacted; no transaction reaches such a store before it is found out.
        """

    async def get(
        self, key: bytes, *, serializable: bool = False, timeout_s: float | None = None
    ) -> GetResult:
        """Read one key; linearizable unless `serializable`, which a cut-off member may answer."""

    async def range(
        self,
        prefix: bytes,
        *,
        page_keys: int = PAGE_KEYS,
        revision: int = 0,
        timeout_s: float | None = None,
    ) -> RangeResult:
        """Read all keys that begin with `prefix`, page by page but all as of one revision.

        Raises Compacted when `revision` is given and gone.
        """

    def pages(
        self,
        start: bytes,
        end: bytes,
        *,
        page_keys: int = PAGE_KEYS,
        revision: int = 0,
        timeout_s: float | None = None,
    ) -> AsyncGenerator[RangeResult, None]:
        """Read the keys in [start, end) page by page, all as of one revision, for large ranges.

        There is one page at least; the first one decides on the revision when none is given. No
        page has more than `page_keys` keys. `timeout_s` is for each page. Raises Compacted when the
        revision is gone, or goes while its pages are read: begin again then. Close it (`aclosing`):
        while one page is used the next one is on its way.
        """

    async def txn(self, txn: Txn, *, timeout_s: float | None = None) -> TxnResult:
        """Send a transaction; never twice once it may have been applied.

        Raises Unavailable (with `sent` True the outcome is unknown), NoSpace, LeaseNotFound (an
        operation names a lease that is gone), RequestTooLarge, TooManyOperations, InvalidRequest.
        """

    async def lease_grant(self, ttl_s: int, *, timeout_s: float | None = None) -> Lease:
        """Take a lease. Repeated when its answer is lost: a lease that nobody knows expires."""

    async def lease_revoke(self, lease: int, *, timeout_s: float | None = None) -> None:
        """End a lease and delete its keys. Raises LeaseNotFound when it is gone already."""

    async def lease_time_to_live(
        self, lease: int, *, timeout_s: float | None = None
    ) -> LeaseStatus:
        """Ask how long a lease has left, without renewing it."""

    async def keep_alive_once(self, lease: int, *, timeout_s: float) -> int:
        """Renew a lease by one question to one endpoint; the seconds it then has.

        After a failure the next call asks the next endpoint. Count the seconds from before the
        call. Raises LeaseNotFound when etcd says that the lease is gone.
        """

    async def status(self) -> tuple[MemberStatus, ...]:
        """What each endpoint says of itself, in the order configured; raises nothing."""

    async def members(self, *, timeout_s: float | None = None) -> tuple[ClusterMember, ...]:
        """The members of the cluster, whether configured here or not."""

    def watch(
        self,
        key: bytes,
        *,
        prefix: bool = False,
        end: bytes = b"",
        start_revision: int,
        idle_check_s: float = 2.0,
    ) -> Watch:
        """Every change from `start_revision` on, once and in order, whatever etcd goes through.

        Of `key` alone, of all keys that begin with it (`prefix`), or of those in [key, end).

        A stream that is silent for `idle_check_s` is asked for a sign of life, and left for the
        next endpoint when it gives none within as long again. Waits raise Compacted when the
        history is gone before it was delivered or etcd was restored from an older state,
        PermissionDenied when the watch is refused, AuthFailed; unreachable endpoints are waited
        out.
        """
