"""What a write of a leader proves before it is applied, and what is told of one that is not."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from milvus_coord.etcd.txn import put, value_is
from milvus_coord.ha.election.fence import ConditionFailed, Fence, RefusedBy
from milvus_coord.model.errors import FencedOff
from testing.ha_term import Scene, a_scene
from testing.role_world import KEYS

KEY = b"by-dev/meta/root-coord/x"


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with a_scene() as made:
        yield made


@pytest.fixture
def refused() -> list[RefusedBy]:
    return []


@pytest.fixture
def fence(scene: Scene, refused: list[RefusedBy]) -> Fence:
    lease, epoch = scene.active.lease, scene.term.epoch
    return Fence(scene.etcd.peer(), KEYS.active, lease, epoch, refused.append)


async def test_a_leader_writes(scene: Scene, fence: Fence, refused: list[RefusedBy]) -> None:
    await fence.commit(put(KEY, b"1"))
    assert scene.value(KEY) == b"1"
    assert not refused
    assert not fence.broken.is_set()


async def test_a_deposed_one_does_not(scene: Scene, fence: Fence, refused: list[RefusedBy]) -> None:
    await scene.term_of(scene.session)
    for _ in range(3):
        with pytest.raises(FencedOff):
            await fence.commit(put(KEY, b"1"))
    assert scene.value(KEY) is None
    assert fence.broken.is_set()
    assert refused == [RefusedBy.ETCD, RefusedBy.US, RefusedBy.US], "each is told once"


async def test_nor_one_whose_own_next_term_has_begun(scene: Scene, fence: Fence) -> None:
    await scene.term_of(scene.active)
    with pytest.raises(FencedOff):
        await fence.commit(put(KEY, b"1"))
    assert scene.value(KEY) is None


async def test_nor_one_whose_key_is_gone(scene: Scene, fence: Fence) -> None:
    await scene.delete(KEYS.active)
    with pytest.raises(FencedOff):
        await fence.commit(put(KEY, b"1"))
    assert scene.value(KEY) is None


async def test_a_condition_of_the_caller_breaks_nothing(
    scene: Scene, fence: Fence, refused: list[RefusedBy]
) -> None:
    with pytest.raises(ConditionFailed):
        await fence.commit(put(KEY, b"1"), when=(value_is(KEY, b"0"),))
    assert scene.value(KEY) is None
    assert not refused
    await fence.commit(put(KEY, b"1"))
