"""Run something, but not beyond the end of something else: an event, a time, a rival."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Never, TypeVar

from milvus_coord.runtime.clock import Clock

T = TypeVar("T")


class Interrupted(Exception):
    """The event came first; the work was cancelled and has ended."""


async def first_of(*works: Coroutine[Any, Any, T], name: str) -> T:
    """Return what the first of `works` to end returns, or raise what it raises.

    The others are cancelled, and have ended before this returns; what they end with is not raised.
    Of several that end in the same turn of the main loop, the one named first counts.
    """
    tasks = [asyncio.create_task(work, name=name) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return next(task for task in tasks if task.done()).result()
    finally:
        await cancel_and_wait(*tasks)


async def run_until(stop: asyncio.Event, work: Coroutine[Any, Any, T], *, name: str) -> T:
    """Return what `work` returns, or cancel it and raise Interrupted once `stop` is set.

    `work` is never started when `stop` is set already. What it raises is raised as it is.
    """

    async def interrupted() -> Never:
        await stop.wait()
        raise Interrupted(name)

    if stop.is_set():
        work.close()
        raise Interrupted(name)
    return await first_of(work, interrupted(), name=name)


async def within(seconds: float, work: Coroutine[Any, Any, T], *, clock: Clock, name: str) -> T:
    """Return what `work` returns, or cancel it and raise TimeoutError when the time is over."""

    async def expired() -> Never:
        await clock.sleep(seconds)
        raise TimeoutError(name)

    return await first_of(work, expired(), name=name)


@asynccontextmanager
async def limited(seconds: float | None, late: Callable[[], Exception]) -> AsyncIterator[None]:
    """Cancel the block and raise `late()` when the time is over; None is no limit.

    In seconds of the loop. A TimeoutError that the block raises itself comes through.
    """
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            yield
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise late() from error


async def gather_all(*works: Coroutine[Any, Any, T], name: str) -> list[T]:
    """Run all side by side; return what they returned, or raise the first error, in their order.

    Either way all have ended. Unlike in a TaskGroup none is cancelled because another one failed.
    """
    tasks = [asyncio.create_task(work, name=name) for work in works]
    try:
        if tasks:
            await asyncio.wait(tasks)
    finally:
        await cancel_and_wait(*tasks)
    return [task.result() for task in tasks]


async def cancel_and_wait(*tasks: asyncio.Task[Any]) -> None:
    """Cancel `tasks` and wait until they are over; what they end with is not raised.

    A cancellation of the caller cancels them once more, and comes through when they are over.
    """
    for task in tasks:
        task.cancel()
    cancelled: asyncio.CancelledError | None = None
    while pending := [task for task in tasks if not task.done()]:
        try:
            await asyncio.wait(pending)
        except asyncio.CancelledError as error:
            cancelled = error
            for task in pending:
                task.cancel()
    for task in tasks:
        if not task.cancelled():
            task.exception()  # seen
    if cancelled is not None:
        raise cancelled


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
