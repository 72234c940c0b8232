"""The asker's side of pause and switchover, without a network."""

from __future__ import annotations

import pytest

from milvus_coord.etcd.memory.memory import MemoryEtcd
from milvus_coord.etcd.txn import Txn, put
from milvus_coord.ha.pair import operator_requests
from milvus_coord.ha.pair.keys import Keys
from milvus_coord.ha.pair.operator_records import Pause, RequestState, SwitchoverRequest
from milvus_coord.ha.pair.operator_requests import (
    CHANGED_MEANWHILE,
    RequestRefused,
    progress,
    why_no_switchover,
)
from milvus_coord.ha.pair.role_snapshot import UNREADABLE_PAUSE, RoleSnapshot
from milvus_coord.ha.pair.snapshot_reducer import read_role
from milvus_coord.ha.pair.takeover import Cause
from milvus_coord.model.states import Phase
from milvus_coord.runtime.clock import ManualClock
from testing.fake_pair import META_ROOT, FakeInstance, fake_pair, status_of

KEYS = Keys(META_ROOT, "rootcoord")
PAUSE = Pause("ann@here", 5, "why not")


@pytest.fixture
def etcd() -> MemoryEtcd:
    return MemoryEtcd(ManualClock())


async def now(etcd: MemoryEtcd) -> RoleSnapshot:
    return await read_role(etcd, KEYS)


async def asked(etcd: MemoryEtcd, to: int = 0) -> SwitchoverRequest:
    """A request, put as the verb puts it."""
    snapshot = await now(etcd)
    request = SwitchoverRequest("n1", snapshot.epoch, to, "ann@here")
    await operator_requests.request_switchover(
        etcd, KEYS, snapshot, request, (await etcd.lease_grant(10)).id
    )
    return request


async def answer(etcd: MemoryEtcd, one: FakeInstance, state: RequestState, why: str = "") -> None:
    found = (await etcd.get(KEYS.switchover)).kv
    assert found is not None
    await one.answer(found, SwitchoverRequest.decode(found.key, found.value), state, why)


async def test_pause_and_resume_are_idempotent(etcd: MemoryEtcd) -> None:
    assert await operator_requests.resume(etcd, KEYS) is None
    assert await operator_requests.pause(etcd, KEYS, PAUSE) == (PAUSE, True)
    assert await operator_requests.pause(etcd, KEYS, Pause("bob", 6)) == (PAUSE, False)
    assert (await now(etcd)).pause == PAUSE
    assert await operator_requests.resume(etcd, KEYS) == PAUSE
    assert (await now(etcd)).pause is None


async def test_junk_under_the_pause_key(etcd: MemoryEtcd) -> None:
    await etcd.txn(Txn((), (put(KEYS.paused, b"1"),)))
    assert await operator_requests.pause(etcd, KEYS, PAUSE) == (UNREADABLE_PAUSE, False)
    assert await operator_requests.resume(etcd, KEYS) == UNREADABLE_PAUSE
    assert (await now(etcd)).pause is None


async def test_why_no_switchover(etcd: MemoryEtcd) -> None:
    async def why(to: int = 0) -> str | None:
        return why_no_switchover(await now(etcd), to)

    assert await why() == "nobody leads"
    a, b = await fake_pair(etcd)
    assert [await why(), await why(8)] == [None, None]
    assert await why(7) == "7 (127.0.0.1:53107) leads already"
    assert await why(9) == "there is no instance 9"
    await b.say(ready=False, why=("mirror is not synced", "slow"))
    assert await why(8) == "8 (127.0.0.1:53108) is not ready: mirror is not synced, slow"
    assert await why() == "no standby is ready; 8 is not ready: mirror is not synced, slow"
    go = FakeInstance(etcd, KEYS, status_of(3), ours=False)
    await go.join()
    assert await why(3) == "3 (127.0.0.1:53103) is a Go coordinator: none can be chosen"
    await go.leave()
    await b.leave()
    assert await why() == "there is no standby"
    await operator_requests.pause(etcd, KEYS, PAUSE)
    assert await why() == "it is paused by ann@here; resume it first"
    await operator_requests.resume(etcd, KEYS)
    await a.say(phase=Phase.ACTIVATING)
    assert await why() == "7 (127.0.0.1:53107) is activating"
    await go.join()
    await go.lead()
    assert "is a Go coordinator: it hands over on SIGTERM alone" in str(await why())
    await etcd.txn(Txn((), (put(KEYS.active, b"junk"),)))
    assert await why() == "the active's key holds no session"


async def test_a_request_is_put_only_if_nothing_has_changed(etcd: MemoryEtcd) -> None:
    a, b = await fake_pair(etcd)
    snapshot = await now(etcd)
    request = SwitchoverRequest("n1", snapshot.epoch, 0, "ann")
    lease = (await etcd.lease_grant(10)).id
    await operator_requests.pause(etcd, KEYS, PAUSE)
    with pytest.raises(RequestRefused, match=CHANGED_MEANWHILE):
        await operator_requests.request_switchover(etcd, KEYS, snapshot, request, lease)
    await operator_requests.resume(etcd, KEYS)
    await b.lead(former=a)
    with pytest.raises(RequestRefused, match=CHANGED_MEANWHILE):
        await operator_requests.request_switchover(etcd, KEYS, snapshot, request, lease)
    assert (await now(etcd)).request is None


async def test_one_request_at_a_time(etcd: MemoryEtcd) -> None:
    a, b = await fake_pair(etcd)
    await asked(etcd)
    with pytest.raises(RequestRefused, match=r"ann@here has asked .* already, it is asked"):
        await asked(etcd)
    await answer(etcd, a, RequestState.REFUSED, "not now")
    await asked(etcd)
    await answer(etcd, a, RequestState.ACCEPTED)
    with pytest.raises(RequestRefused, match="already, it is accepted"):
        await asked(etcd)
    await b.lead(former=a)
    await a.stand_by()
    assert (await asked(etcd)).epoch == (await now(etcd)).epoch


async def test_the_way_to_the_end(etcd: MemoryEtcd) -> None:
    a, b = await fake_pair(etcd)
    request = await asked(etcd)
    steps = [progress(await now(etcd), request, accepted=False).step]
    await answer(etcd, a, RequestState.ACCEPTED)
    steps.append(progress(await now(etcd), request, accepted=True).step)
    await b.write(put(KEYS.active, b.record.encode(), b.lease))
    steps.append(progress(await now(etcd), request, accepted=True).step)
    await b.lead(Cause.SWITCHOVER, a)
    last = progress(await now(etcd), request, accepted=True)
    assert steps == ["the active's answer", "the active's hand-over", "8 to claim the active's key"]
    assert last.done
    assert last.takeover is not None
    assert (last.leader, last.takeover.cause) == ((await now(etcd)).leader, Cause.SWITCHOVER)


async def test_the_heir_does_not_claim_and_a_go_coordinator_wins(etcd: MemoryEtcd) -> None:
    a, _ = await fake_pair(etcd)
    request = await asked(etcd)
    go = FakeInstance(etcd, KEYS, status_of(3), ours=False)
    await go.join()
    await a.leave()
    assert progress(await now(etcd), request, accepted=True).step == "a new leader"
    await go.lead()
    last = progress(await now(etcd), request, accepted=True)
    assert last.done
    assert last.leader is not None
    assert (last.leader.server_id, last.takeover) == (3, None)


async def test_refusals(etcd: MemoryEtcd) -> None:
    a, b = await fake_pair(etcd)
    request = await asked(etcd)
    await answer(etcd, a, RequestState.REFUSED, "8 is not ready")
    with pytest.raises(RequestRefused, match="8 is not ready"):
        progress(await now(etcd), request, accepted=False)
    await etcd.txn(Txn((), (put(KEYS.switchover, b"junk"),)))
    with pytest.raises(RequestRefused, match="the request is gone"):
        progress(await now(etcd), request, accepted=False)
    assert not progress(await now(etcd), request, accepted=True).done, (
        "a hand-over may be on its way"
    )
    await b.lead(Cause.SILENT, a)
    with pytest.raises(
        RequestRefused, match=r"8 .* took over meanwhile for another reason: silent"
    ):
        progress(await now(etcd), request, accepted=False)
