"""Run something, but not beyond an event or a time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from milvus_coord.runtime.clock import Clock

T = TypeVar("T")


class Interrupted(Exception):
    """The event came first; the work was cancelled and has ended."""


async def run_until(stop: asyncio.Event, work: Coroutine[Any, Any, T], *, name: str) -> T:
    """Return what `work` returns, or cancel it and raise Interrupted once `stop` is set.

    `work` is never started when `stop` is set already. What it raises is raised as it is.
    """
    if stop.is_set():
        work.close()
        raise Interrupted(name)
    task = asyncio.create_task(work, name=name)
    stopped = asyncio.create_task(stop.wait(), name=f"{name}.stop")
    try:
        await asyncio.wait((task, stopped), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise Interrupted(name)
    finally:
        await cancel_and_wait(task, stopped)


async def within(seconds: float, work: Coroutine[Any, Any, T], *, clock: Clock, name: str) -> T:
    """Return what `work` returns, or cancel it and raise TimeoutError when the time is over."""
    task = asyncio.create_task(work, name=name)
    over = asyncio.create_task(clock.sleep(seconds), name=f"{name}.time")
    try:
        await asyncio.wait((task, over), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise TimeoutError(name)
    finally:
        await cancel_and_wait(task, over)


async def cancel_and_wait(*tasks: asyncio.Task[Any]) -> None:
    """Cancel `tasks` and wait until they are over; what they end with is not raised."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def to_the_end(work: Coroutine[Any, Any, T], *, name: str) -> T:
    """Return what `work` returns; a cancellation waits for it. For clean-ups that are bounded."""
    task = asyncio.create_task(work, name=name)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        task.exception()  # seen, though the cancellation goes first
        raise cancelled
    return task.result()
