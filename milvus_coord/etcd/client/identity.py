"""Which etcd this is: its cluster, and a witness that it still has the past that it told us."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from grpc.aio import AioRpcError

from milvus_coord.etcd.client.member import Member
from milvus_coord.etcd.client.rpc import pb
from milvus_coord.etcd.client.verdict import NotReady
from milvus_coord.runtime.signal import Signal
from milvus_coord.telemetry.log import log

_COMPACTED: Final = "etcdserver: mvcc: required revision has been compacted"
_DENIED: Final = "etcdserver: permission denied"
_FUTURE: Final = "etcdserver: mvcc: required revision is a future revision"


class Foreign(NotReady):
    """The endpoint belongs to another cluster than ours: as good as unreachable."""


@dataclass(frozen=True, slots=True)
class Witness:
    """A key as etcd wrote it at `revision`: by our own transaction, or told by a watch."""

    key: bytes
    value: bytes
    revision: int

    def is_told_by(self, kv: Any) -> bool:
        """Whether this key-value, None for none, is the one that was seen."""
        return kv is not None and kv.mod_revision == self.revision and kv.value == self.value


class StoreIdentity:
    """What one client knows of the store behind its endpoints; all its connections share it.

    The cluster of the first answer is ours. An etcd that is put in its place has to be started, and
    so breaks the connections: after a break nothing is sent until the member has proven itself.

    Attributes:
        replaced: notified when etcd is found to have another past than it told us.
    """

    def __init__(self, endpoints: Collection[str]) -> None:
        self._endpoints = frozenset(endpoints)
        self._cluster_id = 0
        self._answered: dict[str, int] = {}
        self._members: set[str] = set()
        self._revision = self._term = 0
        self._witness: Witness | None = None
        self.replaced: Final = Signal()

    def saw(self, endpoint: str, header: Any) -> None:
        """Take the header of any answer. Raises Foreign.

        When more than half of the endpoints, one of ours among them, are of one other cluster, then
        that one has replaced ours.
        """
        found, before = header.cluster_id, self._answered.get(endpoint)
        if not found:
            return  # a proxy may leave the header out
        self._answered[endpoint] = found
        if not self._cluster_id:
            self._cluster_id = found
        if found == self._cluster_id:
            self._members.add(endpoint)
            if before not in (None, found):
                log.info("etcd endpoint belongs to our cluster again", endpoint=endpoint)
            return
        others = {each for each, cluster in self._answered.items() if cluster == found}
        ours = f"{self._cluster_id:x}"
        if 2 * len(others) > len(self._endpoints) and others & self._members:
            self._members = others
            self._replace(header, f"cluster {found:x} answers in the place of cluster {ours}")
            return
        if before != found:
            log.error(
                "etcd endpoint belongs to another cluster, it is not used",
                endpoint=endpoint,
                cluster=f"{found:x}",
                ours=ours,
            )
        raise Foreign(f"belongs to cluster {found:x}, not to ours, {ours}")

    def passed(self, header: Any) -> None:
        """Take the header of an answer that a majority of the members stands behind."""
        if header.cluster_id == self._cluster_id:
            self._revision = max(self._revision, header.revision)
            self._term = max(self._term, header.raft_term)

    def witnessed(self, key: bytes, value: bytes, revision: int) -> None:
        """Take what etcd has written, or told to be written, at `revision`."""
        if self._witness is None or revision > self._witness.revision:
            self._witness = Witness(key, value, revision)

    def proven_from(self, revision: int) -> int:
        """The oldest revision up to `revision` from which on nothing is proven to be as it was."""
        return min(revision, self._witness.revision + 1) if self._witness else revision

    async def prove(self, member: Member, timeout_s: float) -> None:
        """Make sure, once after each break, that `member` has the past that etcd told us.

        Raises Foreign and what grpc.aio raises.
        """
        while self._cluster_id and member.proven != (version := self.replaced.version()):
            if self._witness is None:
                request = pb.StatusRequest()
                stub, metadata = member.maintenancestub, member.local_metadata
                answer = await stub.Status(request, timeout=timeout_s, metadata=metadata)
                self.saw(str(member), answer.header)
            else:
                try:
                    await self._hear(self._witness, member, timeout_s)
                except AioRpcError as error:
                    if error.details() != _DENIED:
                        raise
            if self.replaced.version() == version:
                member.proven = version

    async def _hear(self, witness: Witness, member: Member, timeout_s: float) -> None:
        """Ask for the witness, and have the store replaced where it is not known."""
        version, revision, term = self.replaced.version(), self._revision, self._term
        key = witness.key.decode(errors="backslashreplace")
        answer = await _read(member, witness.key, 0, timeout_s)
        header, kv = answer.header, answer.kvs[0] if answer.kvs else None
        self.saw(str(member), header)
        doubt = ""
        if header.revision < revision:
            why = f"its revision fell from {revision} to {header.revision}"
        elif header.raft_term < term:
            why = f"its raft term fell from {term} to {header.raft_term}"
        elif kv is not None and kv.mod_revision < witness.revision:
            why = f"what was written at revision {witness.revision} to {key} is not there"
        elif witness.is_told_by(kv):
            why = ""
        else:
            why, doubt = await self._then(witness, member, timeout_s)
        if self.replaced.version() == version and (why or doubt):
            self._replace(header, why, doubt)

    async def _then(self, witness: Witness, member: Member, timeout_s: float) -> tuple[str, str]:
        """Why the store was replaced, or why that cannot be known, by the key as it was."""
        key = witness.key.decode(errors="backslashreplace")
        why = f"what was written at revision {witness.revision} to {key} was never there"
        try:
            answer = await _read(member, witness.key, witness.revision, timeout_s)
        except AioRpcError as error:
            if error.details() == _FUTURE:
                return why, ""
            if error.details() == _COMPACTED:
                return "", f"revision {witness.revision} is compacted, and {key} has changed"
            raise
        kv = answer.kvs[0] if answer.kvs else None
        return ("" if witness.is_told_by(kv) else why), ""

    def _replace(self, header: Any, why: str, doubt: str = "") -> None:
        self._cluster_id = header.cluster_id
        self._revision, self._term = header.revision, header.raft_term
        self._witness = None
        if why:
            log.error("etcd was replaced or restored, everything is read again", why=why)
        else:
            log.warn("etcd may have been restored, everything is read again", why=doubt)
        self.replaced.notify()


async def _read(member: Member, key: bytes, revision: int, timeout_s: float) -> Any:
    request = pb.RangeRequest(key=key, revision=revision)
    return await member.kvstub.Range(request, timeout=timeout_s, metadata=member.metadata)
