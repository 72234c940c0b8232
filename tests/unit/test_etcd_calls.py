"""The policy of what is sent again, with endpoints that fail as told."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, cast

import pytest
from grpc import StatusCode
from grpc.aio import AioRpcError, Metadata

from milvus_coord.etcd.client.calls import Calls, Ring
from milvus_coord.etcd.client.identity import StoreIdentity
from milvus_coord.etcd.client.member import Member
from milvus_coord.etcd.client.verdict import NotReady
from milvus_coord.etcd.errors import AuthFailed, InvalidRequest, Unavailable
from milvus_coord.etcd.settings import EtcdSettings
from milvus_coord.runtime.clock import ManualClock


def unavailable(words: str) -> AioRpcError:
    return AioRpcError(StatusCode.UNAVAILABLE, Metadata(), Metadata(), words)


STALE = AioRpcError(
    StatusCode.UNAUTHENTICATED, Metadata(), Metadata(), "etcdserver: invalid auth token"
)


class HastyClock(ManualClock):
    """Sleeping takes no time but moves the clock."""

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)


class FakeMember:
    def __init__(self, name: str, *, reachable: bool = True, user: str = "") -> None:
        self.name, self.reachable, self.user = name, reachable, user
        self.token: str | None = None
        self.logins = 0

    def __str__(self) -> str:
        return self.name

    async def ready(self, timeout_s: float) -> None:
        if not self.reachable:
            raise NotReady("refused")

    async def log_in(self, stale: str | None, timeout_s: float) -> None:
        assert stale == self.token
        self.logins += 1
        self.token = f"token {self.logins}"


class FakeRing:
    """A `Ring` without channels."""

    def __init__(self, *members: FakeMember) -> None:
        self.members = list(members)

    def __len__(self) -> int:
        return len(self.members)

    @property
    def current(self) -> FakeMember:
        return self.members[0]

    def leave(self, member: FakeMember) -> None:
        self.members.append(self.members.pop(0))

    def guarded(self) -> nullcontext[None]:
        return nullcontext()


class AlwaysOurs:
    """A `StoreIdentity` that is content with all."""

    async def prove(self, member: Member, timeout_s: float) -> None:
        """Nothing is asked."""

    def saw(self, endpoint: str, header: object) -> None:
        """Nothing is compared."""


class Answer(str):
    """An answer that has a header."""

    header = None


class Scene:
    """Calls over `members`; each call takes the next of `outcomes`, and is noted in `asked`."""

    def __init__(self, *members: FakeMember, outcomes: Sequence[object]) -> None:
        self.clock = HastyClock()
        self.asked: list[str] = []
        self.timeouts: list[float] = []
        self._outcomes = list(outcomes)
        settings = EtcdSettings(("unused:1",), request_timeout_s=10.0, attempt_timeout_s=2.0)
        ring, store = cast(Ring, FakeRing(*members)), cast(StoreIdentity, AlwaysOurs())
        self._calls = Calls(ring, settings, self.clock, store)

    async def run(self, *, repeatable: bool) -> object:
        return await self._calls.send("question", self._call, repeatable=repeatable)

    async def _call(self, member: Member, timeout_s: float) -> Any:
        self.asked.append(str(member))
        self.timeouts.append(timeout_s)
        outcome = self._outcomes.pop(0) if len(self._outcomes) > 1 else self._outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        return Answer(outcome)


def members() -> tuple[FakeMember, FakeMember]:
    return FakeMember("a"), FakeMember("b")


async def test_a_read_goes_on_to_the_next_endpoint_whatever_happened() -> None:
    scene = Scene(*members(), outcomes=[unavailable("Socket closed"), "answer"])
    assert await scene.run(repeatable=True) == "answer"
    assert scene.asked == ["a", "b"]
    assert scene.timeouts == [2.0, 2.0]


async def test_a_write_that_may_have_been_applied_is_never_sent_again() -> None:
    for words in ("Socket closed", "etcdserver: request timed out", "etcdserver: leader changed"):
        scene = Scene(*members(), outcomes=[unavailable(words), "answer"])
        with pytest.raises(Unavailable, match=rf"question: a: {words} \(it may") as caught:
            await scene.run(repeatable=False)
        assert caught.value.sent
        assert scene.asked == ["a"]
        assert scene.timeouts == [10.0]


async def test_a_write_that_was_refused_before_goes_on() -> None:
    refusals = [unavailable("etcdserver: no leader"), unavailable("failed to connect to all")]
    scene = Scene(*members(), outcomes=[*refusals, "answer"])
    assert await scene.run(repeatable=False) == "answer"
    assert scene.asked == ["a", "b", "a"]


async def test_what_cannot_be_connected_to_is_not_asked() -> None:
    scene = Scene(FakeMember("a", reachable=False), FakeMember("b"), outcomes=["answer"])
    assert await scene.run(repeatable=False) == "answer"
    assert scene.asked == ["b"]


async def test_the_deadline_ends_it_and_names_every_endpoint() -> None:
    dead = FakeMember("a", reachable=False), FakeMember("b", reachable=False)
    scene = Scene(*dead, outcomes=["answer"])
    began = scene.clock.boottime()
    with pytest.raises(Unavailable, match=r"question: a: refused; b: refused \(10 s") as caught:
        await scene.run(repeatable=False)
    assert not caught.value.sent
    assert scene.clock.boottime() - began == pytest.approx(10.0)


async def test_a_final_answer_is_asked_for_once() -> None:
    wrong = AioRpcError(StatusCode.INVALID_ARGUMENT, Metadata(), Metadata(), "bad")
    scene = Scene(*members(), outcomes=[wrong])
    with pytest.raises(InvalidRequest, match="etcd question: a: bad"):
        await scene.run(repeatable=True)
    assert scene.asked == ["a"]


async def test_a_stale_token_is_replaced_even_under_a_write() -> None:
    member = FakeMember("a", user="u")
    scene = Scene(member, outcomes=[STALE, "answer"])
    assert await scene.run(repeatable=False) == "answer"
    assert member.logins == 1


async def test_tokens_that_are_never_good_end_it() -> None:
    member = FakeMember("a", user="u")
    scene = Scene(member, outcomes=[STALE])
    with pytest.raises(AuthFailed, match="invalid auth token"):
        await scene.run(repeatable=True)
    assert member.logins == 3


async def test_without_a_user_there_is_nothing_to_log_in_with() -> None:
    scene = Scene(*members(), outcomes=[STALE])
    with pytest.raises(AuthFailed):
        await scene.run(repeatable=True)
    assert scene.asked == ["a"]
