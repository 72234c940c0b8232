"""Which etcd it is: whose member answers, and whether it has the past that it told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
from grpc import StatusCode
from grpc.aio import AioRpcError, Metadata

from milvus_coord.etcd.client.identity import Foreign, StoreIdentity
from milvus_coord.etcd.client.member import Member

OURS, OTHER = 0xA, 0xB
KEY = b"k"


@dataclass
class FakeStore:
    """The etcd behind one endpoint; `written` has the value of each revision of KEY."""

    cluster: int = OURS
    revision: int = 20
    term: int = 2
    written: dict[int, bytes] = field(default_factory=dict)
    compacted: int = 0

    @property
    def header(self) -> Any:
        return SimpleNamespace(cluster_id=self.cluster, revision=self.revision, raft_term=self.term)

    def range(self, revision: int) -> Any:
        if revision > self.revision:
            raise refused("etcdserver: mvcc: required revision is a future revision")
        if revision and revision < self.compacted:
            raise refused("etcdserver: mvcc: required revision has been compacted")
        seen = sorted(each for each in self.written if each <= (revision or self.revision))
        kvs = [SimpleNamespace(mod_revision=each, value=self.written[each]) for each in seen[-1:]]
        return SimpleNamespace(header=self.header, kvs=kvs)


def refused(words: str) -> AioRpcError:
    return AioRpcError(StatusCode.OUT_OF_RANGE, Metadata(), Metadata(), words)


class FakeMember:
    """One endpoint, and how often it was asked."""

    def __init__(self, name: str, store: FakeStore) -> None:
        self.name, self.store, self.asked = name, store, 0
        self.proven = -1
        self.metadata = self.local_metadata = ()
        self.kvstub = self.maintenancestub = self

    def __str__(self) -> str:
        return self.name

    async def Range(self, request: Any, **_: object) -> Any:
        self.asked += 1
        return self.store.range(request.revision)

    async def Status(self, request: Any, **_: object) -> Any:
        self.asked += 1
        return SimpleNamespace(header=self.store.header)


async def proven(identity: StoreIdentity, member: FakeMember) -> None:
    await identity.prove(cast(Member, member), 1.0)


@contextmanager
def replaced(identity: StoreIdentity, times: int = 1) -> Iterator[None]:
    before = identity.replaced.version()
    yield
    assert identity.replaced.version() == before + times


def known(store: FakeStore, *others: str) -> StoreIdentity:
    """An identity that has heard of revision 10 of the key, and passed revision 20."""
    identity = StoreIdentity(("a", *others))
    identity.saw("a", store.header)
    identity.passed(store.header)
    identity.witnessed(KEY, b"10", 10)
    return identity


def test_a_member_of_another_cluster_is_not_used() -> None:
    identity = known(FakeStore(), "b")
    with replaced(identity, 0):
        for _ in range(2):
            with pytest.raises(Foreign, match="belongs to cluster b, not to ours, a"):
                identity.saw("b", FakeStore(OTHER).header)
        identity.saw("a", FakeStore().header)


def test_when_ours_dies_the_other_cluster_of_the_list_stays_foreign() -> None:
    identity = known(FakeStore(), "b")
    for _ in range(10):
        with pytest.raises(Foreign):
            identity.saw("b", FakeStore(OTHER).header)


@pytest.mark.parametrize("others", [(), ("b", "c")])
def test_a_cluster_in_the_place_of_ours_is_taken(others: tuple[str, ...]) -> None:
    identity = known(FakeStore(), *others)
    with replaced(identity):
        if others:
            with pytest.raises(Foreign):
                identity.saw("b", FakeStore(OTHER).header)
        identity.saw("a", FakeStore(OTHER).header)
        identity.saw("a", FakeStore(OTHER).header)
    if others:
        with pytest.raises(Foreign):
            identity.saw("c", FakeStore(OURS).header)


def test_a_majority_that_never_was_ours_is_not_taken() -> None:
    identity = known(FakeStore(), "b", "c", "d")
    for name in "bcd":
        with pytest.raises(Foreign):
            identity.saw(name, FakeStore(OTHER).header)


async def test_the_same_store_proves_itself_once_after_each_break() -> None:
    store = FakeStore(written={5: b"5", 10: b"10"})
    identity, member = known(store), FakeMember("a", store)
    with replaced(identity, 0):
        await proven(identity, member)
        await proven(identity, member)
        assert member.asked == 1
        member.proven = -1
        store.written[15], store.revision = b"15", 30
        await proven(identity, member)
        assert member.asked == 3  # as it is, and as it was


@pytest.mark.parametrize(
    "store",
    [
        FakeStore(revision=19, written={10: b"10"}),
        FakeStore(term=1, written={10: b"10"}),
        FakeStore(revision=1000, written={5: b"5"}),
        FakeStore(revision=1000, written={10: b"else"}),
        FakeStore(revision=1000, written={11: b"10"}),
        FakeStore(revision=1000, written={}),
        FakeStore(revision=1000, written={5: b"5", 900: b"10"}),
        FakeStore(revision=1000, written={900: b"10"}, compacted=800),
        FakeStore(revision=8, term=1),
        FakeStore(OTHER, revision=1000, written={10: b"10"}),
    ],
)
async def test_a_store_with_another_past_is_found_out(store: FakeStore) -> None:
    identity, member = known(FakeStore()), FakeMember("a", store)
    with replaced(identity):
        await proven(identity, member)
    assert member.proven == identity.replaced.version()
    with replaced(identity, 0):
        member.proven = -1
        await proven(identity, member)


async def test_what_may_not_be_read_proves_nothing() -> None:
    store = FakeStore(written={10: b"10"})
    identity, member = known(store), FakeMember("a", store)

    async def denied(request: Any, **_: object) -> Any:
        raise refused("etcdserver: permission denied")

    member.Range = denied  # type: ignore[method-assign]  # on purpose
    with replaced(identity, 0):
        await proven(identity, member)


def test_a_watch_goes_on_from_where_the_past_is_proven() -> None:
    identity = StoreIdentity(("a",))
    assert identity.proven_from(7) == 7
    identity.witnessed(KEY, b"", 3)
    assert identity.proven_from(7) == 4
    assert identity.proven_from(2) == 2
