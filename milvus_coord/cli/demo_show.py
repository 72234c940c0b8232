"""What the demo does and says, act by act."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Final

from milvus_coord.cli.demo_client import EVERY_MS, Takeover, TimestampClient
from milvus_coord.cli.demo_instance import SERVE_LEASE_S, DemoFailed, Instance, demo_env
from milvus_coord.cli.demo_verb import typed
from milvus_coord.etcd.embedded.binary import find_binary
from milvus_coord.runtime.clock import Clock

_WARM_UP: Final = 250
_TAKEOVER_S: Final = 30.0
_TELLING: Final = (
    '"Get signal to exit"',
    '"handed over"',
    '"released the ACTIVE key"',
    '"stop watching ACTIVE key"',
    '"the active\'s process has ended"',
    '"register ACTIVE service successfully"',
    '"waiting until the leader before us has certainly stopped"',
    '"RootCoord Register Finished"',
    '"Milvus components graceful stop done"',
)
_HOW_A_CRASH_SHOWS: Final = (
    "On one machine the kernel tells the standby of the crash, so that it waits for no lease;\n"
    f"from another host it asks through etcd, and waits out the serve lease ({SERVE_LEASE_S} s)."
)


class Show:
    """Two instances that are still to be started, and a client that runs from the first act on."""

    def __init__(self, a: Instance, b: Instance, etcd: str, folder: Path, clock: Clock) -> None:
        self._a, self._b, self._etcd, self._folder = a, b, etcd, folder
        self.client = TimestampClient((a.address, b.address), clock)

    async def play(self) -> None:
        """Start the pair, hand over, kill, ask for a hand-over, judge. Raises DemoFailed."""
        a, b = self._a, self._b
        _say(f"Two rootcoords on an etcd of their own, {self._etcd}; all is in {self._folder}")
        _say("Their message queue is in memory: nobody else sees what they send.")
        await a.start()
        await a.becomes("active")
        await b.start()
        await b.becomes("standby")
        await self._show_pair()
        _say(f"\nA client asks the pair for a timestamp every {EVERY_MS} ms.")

        await self._warm_up()
        _say(f"\n1. SIGTERM to {a.name}: it hands over and ends.\n")
        takeover = await self._lose(a, b, signal.SIGTERM)
        _say(f"\n{_told(takeover, b, a)} {a.name} is back as the standby.")

        await self._warm_up()
        _say(f"\n2. kill -9 of {b.name}: nobody hands over.\n")
        takeover = await self._lose(b, a, signal.SIGKILL)
        _say(f"\n{_told(takeover, a, b)} {b.name} is back as the standby.")
        _say(_HOW_A_CRASH_SHOWS)

        await self._warm_up()
        _say(f"\n3. Somebody asks {a.name} to hand over: it stays, as the standby.\n")
        await self._type("switchover", "rootcoord", "--reason", "a look at it")
        await a.becomes("standby")
        await self._warm_up()
        await self._type("status", "rootcoord")
        await self._type("history", "rootcoord")
        if self.client.flaws:
            raise DemoFailed("\n  ".join(["timestamps are wrong:", *self.client.flaws[:5]]))
        _say(f"{self.client.count} timestamps, none twice, none backwards.")

    async def stay(self) -> None:
        """Leave the pair to those who watch; what ends is started again. Runs until cancelled."""
        a, b = self._a, self._b
        etcdctl = find_binary().with_name("etcdctl")
        _say(
            "\nThe pair stays up until Ctrl-C. Try:\n\n"
            f"  {_milvus()} status rootcoord -w --endpoints {self._etcd}\n"
            f"  curl -s http://127.0.0.1:{a.metrics_port}/role     {a.name}\n"
            f"  curl -s http://127.0.0.1:{b.metrics_port}/role     {b.name}\n"
            f"  kill {a.pid}     {a.name} hands over; with -9 it crashes; {b.name} is {b.pid}\n"
            f"  tail -f {a.log_file} {b.log_file}\n"
            f"  {etcdctl} --endpoints={self._etcd} get --prefix by-dev/meta/session\n"
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tell_takeovers(), name="demo.takeovers")
            for instance in (a, b):
                tasks.create_task(_keep_up(instance), name=f"demo.keep.{instance.name}")

    async def _type(self, *words: str) -> None:
        _say(await typed(*words, etcd=self._etcd, folder=self._folder, env=demo_env()))

    async def _warm_up(self) -> None:
        try:
            async with asyncio.timeout(_TAKEOVER_S):
                await self.client.receives(_WARM_UP)
        except TimeoutError:
            raise self._a.failed("and its partner give no timestamps") from None

    async def _lose(self, active: Instance, standby: Instance, number: signal.Signals) -> Takeover:
        """Send the signal, see the other one take over, show the logs, start the lost one again."""
        seen = len(self.client.takeovers)
        marks = [(each, each.log_size()) for each in (active, standby)]
        active.send(number)
        try:
            async with asyncio.timeout(_TAKEOVER_S):
                takeover = await self.client.sees_takeover(seen)
                await active.ended()
        except TimeoutError:
            raise standby.failed(f"did not take over in {_TAKEOVER_S:.0f} s") from None
        lines = [
            (line, each.name)
            for each, mark in marks
            for line in each.lines(after=mark, with_any_of=_TELLING)
        ]
        for line, name in sorted(lines):
            _say(f"  {name} {line}")
        await active.start()
        await active.becomes("standby")
        return takeover

    async def _show_pair(self) -> None:
        _say("\n     pid      address          standing  server id  epoch")
        for each in (self._a, self._b):
            standing = await each.standing()
            if standing is None:
                raise each.failed("does not answer")
            epoch = standing.epoch if standing.position == "active" else "-"
            _say(
                f"  {each.name}  {each.pid:<7}  {each.address:<15}  {standing.position:<8}  "
                f"{standing.server_id:<9}  {epoch}"
            )

    async def _tell_takeovers(self) -> None:
        names = {each.address: each.name for each in (self._a, self._b)}
        seen = len(self.client.takeovers)
        while True:
            takeover = await self.client.sees_takeover(seen)
            seen += 1
            _say(f"{names[takeover.address]} answers, after {_length(takeover.gap_s)} without.")


async def _keep_up(instance: Instance) -> None:
    """Start it again whenever somebody ends it. Raises DemoFailed when it fails by itself."""
    while True:
        code = await instance.ended()
        if code > 0:
            raise instance.failed(f"ended with code {code}")
        how = signal.Signals(-code).name if code else "in order"
        await instance.start()
        _say(f"{instance.name} ended ({how}) and is started again, pid {instance.pid}.")


def _milvus() -> str:
    """The command that this is, as one types it."""
    script = Path(sys.executable).with_name("milvus")
    return str(script) if script.exists() else f"{sys.executable} -m milvus_coord"


def _told(takeover: Takeover, heir: Instance, gone: Instance) -> str:
    length = _length(takeover.gap_s)
    return f"{heir.name} answered {length} after the last timestamp of {gone.name}."


def _length(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"


def _say(text: str) -> None:
    print(text, flush=True)
