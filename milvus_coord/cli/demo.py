"""`milvus demo`: a pair of rootcoords on an etcd of its own; one hands over, one is killed."""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Final

from milvus_coord.cli.demo_instance import DemoFailed, Instance
from milvus_coord.cli.demo_show import Show
from milvus_coord.etcd.embedded.embedded import EmbeddedSettings, attach
from milvus_coord.etcd.errors import EtcdError
from milvus_coord.runtime.clock import SystemClock
from milvus_coord.runtime.parent_death import killed_with_parent
from milvus_coord.runtime.race import Interrupted, cancel_and_wait, run_until
from milvus_coord.runtime.taskgroup import leaves
from milvus_coord.telemetry import logsetup
from milvus_coord.telemetry.logfile import LogFile
from milvus_coord.telemetry.logsetup import LogSettings

_STOPPING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(once: bool) -> int:
    """Show it; then stay up until Ctrl-C, unless `once`.

    Returns 0, or 1 with the reason on standard error, or 128 + the signal that cut the show short.
    Whatever is started ends before this returns, and dies with us when we are killed.
    """
    asked: list[int] = []
    code = 0
    try:
        asyncio.run(_run(once, asked))
    except* Interrupted:
        code = 128 + asked[0]
    except* (DemoFailed, EtcdError, OSError) as failures:
        code = 1
        for failure in leaves(failures):
            print(f"milvus demo: {failure}", file=sys.stderr)
    return code


async def _run(once: bool, asked: list[int]) -> None:
    """Raises Interrupted when a signal comes before the end of the show; it is put in `asked`."""
    stop = asyncio.Event()

    def on_signal(number: int) -> None:
        asked.append(number)
        stop.set()

    for each in _STOPPING:
        asyncio.get_running_loop().add_signal_handler(each, on_signal, each)
    async with AsyncExitStack() as opened:
        show = await run_until(stop, _open(opened), name="demo.open")
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(show.client.run(), name="demo.client")
            await run_until(stop, show.play(), name="demo.play")
            if not once:
                with suppress(Interrupted):
                    await run_until(stop, show.stay(), name="demo.stay")
            await cancel_and_wait(asking)


async def _open(opened: AsyncExitStack) -> Show:
    """A folder, an etcd in it, and a pair that is still to be started."""
    prefix = "milvus-demo-"
    folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix=prefix)))
    own_log = LogFile(str(folder), "demo.log", max_size_mb=300, max_age_days=0, max_backups=0)
    logsetup.configure(LogSettings(stdout=False, file=own_log))
    clock = SystemClock()
    settings = EmbeddedSettings(str(folder / "etcd"), launcher=killed_with_parent())
    etcd = await attach(settings, clock)
    opened.push_async_callback(etcd.close)
    a, b = (Instance(name, folder, etcd.endpoint, clock) for name in ("A", "B"))
    opened.push_async_callback(_stop, a, b)
    return Show(a, b, etcd.endpoint, folder, clock)


async def _stop(*instances: Instance) -> None:
    async with asyncio.TaskGroup() as tasks:
        for instance in instances:
            tasks.create_task(instance.stop(), name=f"demo.stop.{instance.name}")
