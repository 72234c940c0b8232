"""Rendering metrics: once for all who wait, and rarely enough to cost nobody anything."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

import pytest

from milvus_coord.telemetry.sparing import REST, Sparing


class Renders:
    """Counts renders; each takes `cost_s` of processor time, and of the wall clock."""

    def __init__(self, cost_s: float) -> None:
        self.made, self.now_s, self._cost_s = 0, 0.0, cost_s
        self.trouble: Exception | None = None

    def render(self) -> bytes:
        self.made += 1
        self.now_s += self._cost_s
        if self.trouble is not None:
            raise self.trouble
        return b"%d" % self.made

    def clock(self) -> Callable[[], float]:
        return lambda: self.now_s


async def test_a_thousand_scrapers_get_one_render() -> None:
    renders = Renders(0.01)
    sparing = Sparing(renders.render, renders.clock(), renders.clock())
    got = await asyncio.gather(*(sparing.get() for _ in range(1000)))
    assert set(got) == {b"1"}


@pytest.mark.parametrize("cost_s", [0.0004, 0.02, 1.0])
async def test_tight_scrapers_cost_no_more_than_their_share_of_a_processor(cost_s: float) -> None:
    renders = Renders(cost_s)
    sparing = Sparing(renders.render, renders.clock(), renders.clock())
    for _ in itertools.takewhile(lambda _: renders.now_s < 100 * REST * cost_s, itertools.count()):
        await sparing.get()
        renders.now_s += cost_s
    assert 90 <= renders.made <= 100
    assert renders.made * cost_s / renders.now_s <= 1 / REST


async def test_both_pages_together_cost_a_fiftieth_of_a_processor() -> None:
    renders = Renders(0.02)
    pages = [Sparing(renders.render, renders.clock(), renders.clock()) for _ in range(2)]
    while renders.now_s < 400:
        for page in pages:
            await page.get()
        renders.now_s += 0.01
    assert renders.made * 0.02 / renders.now_s <= 0.02


async def test_renders_that_fail_cost_no_more_than_others() -> None:
    renders = Renders(0.02)
    renders.trouble = RuntimeError("no luck")
    sparing = Sparing(renders.render, renders.clock(), renders.clock())
    while renders.now_s < 20:
        with pytest.raises(RuntimeError, match="no luck"):
            await sparing.get()
        renders.now_s += 0.01
    assert renders.made <= 10


async def test_a_render_that_fails_is_told_to_all_who_wait_and_tried_again() -> None:
    renders = Renders(0.01)
    renders.trouble = RuntimeError("no luck")
    sparing = Sparing(renders.render, renders.clock(), renders.clock())
    got = await asyncio.gather(*(sparing.get() for _ in range(3)), return_exceptions=True)
    assert [type(one) for one in got] == [RuntimeError] * 3
    renders.trouble = None
    renders.now_s += REST * 0.01
    assert await sparing.get() == b"2"


async def test_who_waits_and_leaves_keeps_nobody_from_an_answer() -> None:
    renders = Renders(0.01)
    sparing = Sparing(renders.render, renders.clock(), renders.clock())
    first = asyncio.create_task(sparing.get())
    second = asyncio.create_task(sparing.get())
    await asyncio.sleep(0)
    first.cancel()
    assert await second == b"1"
