"""The stage for tests of any role: etcd and clock in memory, leadership, a mirror, faults."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Generic

from milvus_coord.etcd.errors import EtcdError
from milvus_coord.etcd.memory.memory import MemoryEtcd
from milvus_coord.etcd.prefix import range_end
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.etcd.txn import Op, Txn, TxnResult, delete, put
from milvus_coord.ha.election.fence import Fence
from milvus_coord.ha.election.lifecycle import Lifecycle
from milvus_coord.ha.election.serve_lease import ServeLease
from milvus_coord.ha.mirror.image import I, Mirrored
from milvus_coord.ha.mirror.mirror import Mirror
from milvus_coord.ha.pair.keys import Keys
from milvus_coord.model.errors import CoordError
from milvus_coord.model.states import Phase
from milvus_coord.runtime.clock import Clock, ManualClock
from milvus_coord.runtime.race import cancel_and_wait
from testing.metadata import META_ROOT

KEYS: Final = Keys(META_ROOT, "rootcoord")
FOREVER_S: Final = 1e9


async def turns(count: int = 20) -> None:
    """Let every task run until it waits for something, without time passing."""
    for _ in range(count):
        await asyncio.sleep(0)


class Broken(CoordError):
    """What a faked part raises when told to."""


class Faults:
    """Trouble by the name of a step, and the story of all steps that were tried."""

    def __init__(self) -> None:
        self.story: list[str] = []
        self.raised = 0
        self._errors: dict[str, list[Exception]] = defaultdict(list)
        self._hangs: dict[str, asyncio.Event] = {}
        self.chance: Callable[[str], Exception | None] = lambda _: None

    def fail(self, step: str, error: Exception | None = None, *, times: int = 1) -> None:
        """Let the next `times` tries of `step` raise."""
        self._errors[step] += [error or Broken(f"{step} is broken")] * times

    def hang(self, step: str) -> asyncio.Event:
        """Let `step` wait until the event is set."""
        return self._hangs.setdefault(step, asyncio.Event())

    def let_pass(self, step: str) -> None:
        """Who comes from now on does not hang; who hangs already does."""
        del self._hangs[step]

    def hangs(self, step: str) -> bool:
        """Whether who comes to `step` now has to wait."""
        hang = self._hangs.get(step)
        return hang is not None and not hang.is_set()

    async def step(self, step: str, detail: str = "") -> None:
        self.story.append(f"{step} {detail}".strip())
        hang = self._hangs.get(step)
        await asyncio.sleep(0)
        if hang is not None:
            await hang.wait()
        error = self._errors[step].pop(0) if self._errors[step] else self.chance(step)
        if error is not None:
            self.raised += 1
            raise error

    def tried(self, step: str) -> list[str]:
        """The details of all tries of one step."""
        return [each[len(step) :].strip() for each in self.story if each.split()[0] == step]


class FaultyEtcd(MemoryEtcd):
    """The twin, with a hook before each write but those of the pair itself.

    The hook returns the error to raise, and whether the write takes effect; or None.
    """

    hook: Callable[[Txn], tuple[EtcdError, bool] | None]

    def __init__(self, clock: Clock, pair: Keys) -> None:
        super().__init__(clock)
        self._pair = pair
        self.hook = lambda _: None

    async def txn(self, txn: Txn, *, timeout_s: float | None = None) -> TxnResult:
        if not txn.reads_only and not any(map(self._is_of_the_pair, txn.then)):
            trouble = self.hook(txn)
            if trouble is not None:
                error, applied = trouble
                if applied:
                    await super().txn(txn, timeout_s=timeout_s)
                raise error
        return await super().txn(txn, timeout_s=timeout_s)

    def _is_of_the_pair(self, op: Op) -> bool:
        return op.key.startswith((self._pair.ha, self._pair.active))


class Stage:
    """An etcd in memory, a clock that moves when told, and the role's keys in it.

    `etcd` is the link of what is tested; `other` that of everybody else.
    """

    step_s = 1.0
    turns_a_step = 50

    def __init__(self, keys: Keys = KEYS) -> None:
        self.keys = keys
        self.clock = ManualClock()
        self.etcd = FaultyEtcd(self.clock, keys)
        self.other = self.etcd.peer()

    async def lead(self, link: Etcd | None = None) -> Fence:
        """Take the active key over `link`; the fence of the term before holds no more."""
        link = link or self.etcd
        won = await link.txn(Txn((), (put(self.keys.active, b"{}"),)))
        return Fence(link, self.keys.active, 0, won.revision)

    async def deposed(self) -> None:
        """Somebody else takes the active key."""
        await self.put(self.keys.active, b"another")

    async def put(self, key: bytes, value: bytes, *, lease: int = 0) -> int:
        """Write over everybody's head; the revision of it."""
        return (await self.other.txn(Txn((), (put(key, value, lease),)))).revision

    async def delete(self, key: bytes) -> None:
        await self.other.txn(Txn((), (delete(key),)))

    def value(self, key: bytes) -> bytes | None:
        """What etcd holds now, as no call of a client's sees it."""
        found = self.etcd.store.range(key, b"")
        return found[0].value if found else None

    def stored(self, prefix: str = "") -> dict[str, bytes]:
        """All keys below `prefix` of the meta root, without both."""
        start = f"{self.keys.meta_root}/{prefix}".encode()
        found = self.etcd.store.range(start, range_end(start))
        return {kv.key[len(start) :].decode(): kv.value for kv in found}

    def check(self) -> None:
        """What must hold at each moment; asserts."""

    async def turns(self, count: int = 200) -> None:
        """Let everybody go on without time passing."""
        for _ in range(count):
            await asyncio.sleep(0)
            self.check()

    async def settle(self, holds: Callable[[], bool], *, turns: int = 2_500) -> bool:
        """Let everybody go on until something holds, without time passing; whether it does."""
        for _ in range(turns):
            if holds():
                return True
            await self.turns(1)
        return holds()

    async def until(
        self,
        holds: Callable[[], bool],
        *,
        step_s: float | None = None,
        within_s: float | None = None,
    ) -> None:
        """Let time pass in small steps until something holds, by default within 500 of them."""
        step_s = step_s or self.step_s
        within_s = within_s or 500 * step_s
        for _ in range(round(within_s / step_s)):
            if await self.settle(holds, turns=self.turns_a_step):
                return
            self.clock.advance(step_s)
        raise AssertionError(f"not within {within_s:g} s")

    async def pass_time(self, seconds: float) -> None:
        """Let everybody go on while so much time passes."""
        end_s = self.clock.boottime() + seconds
        await self.until(lambda: self.clock.boottime() >= end_s, within_s=seconds + 1)


@dataclass(frozen=True, slots=True)
class Term(Generic[I]):
    """One leadership, as far as it is the same for each role."""

    fence: Fence
    mirror: Mirror[I]
    tasks: asyncio.TaskGroup


class RoleWorld(Stage, Generic[I]):
    """What outlives the terms of a role: its etcd, its clock, its serve lease, faults.

    Terms write over `link`, the mirror reads over `reader`; `link` may lead to a real etcd.
    """

    def __init__(
        self,
        mirrored: Mirrored[I],
        keys: Keys = KEYS,
        *,
        link: Etcd | None = None,
        lease_s: float = FOREVER_S,
    ) -> None:
        super().__init__(keys)
        self.mirrored, self.faults = mirrored, Faults()
        self.reader = self.etcd.peer()
        self.link, self._mirror_link = link or self.etcd, link or self.reader
        self.serve = ServeLease(self.clock, lease_s, self.clock.boottime())

    def active(self) -> Lifecycle:
        """A life that has just become active."""
        lifecycle = Lifecycle(self.clock)
        for phase in (Phase.STANDBY, Phase.ACTIVATING, Phase.ACTIVE):
            lifecycle.to(phase, epoch=1)
        return lifecycle

    @asynccontextmanager
    async def following(self) -> AsyncIterator[Mirror[I]]:
        """A mirror that follows etcd until the end of the block."""
        mirror = Mirror(self._mirror_link, self.clock, self.mirrored)
        running = asyncio.create_task(mirror.run(), name="mirror")
        try:
            yield mirror
        finally:
            await cancel_and_wait(running)

    @asynccontextmanager
    async def leading(self) -> AsyncIterator[Term[I]]:
        """A new leadership, which ends the one before; all its tasks end with the block."""
        try:
            async with self.following() as mirror:
                fence = await self.lead(self.link)
                await mirror.catch_up(fence)
                async with asyncio.TaskGroup() as tasks:
                    yield Term(fence, mirror, tasks)
                    raise _TermOver
        except* _TermOver:
            pass


class _TermOver(Exception):
    pass
