"""A client that never lets go of a pair of rootcoords: both are asked every few milliseconds.

It is a process of its own, so that a busy test cannot slow it down. A lost connection is dialled
again at the next try; one that gives no answer in time is kept open beside a fresh one, so that
what a frozen server says when it wakes up is seen too.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import functools
import math
import os
import signal
import struct
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import uvloop

from testing import messages
from testing.daemon import POLL_S, Daemon, boottime_s
from testing.grpc_wire import GrpcConnection, RpcFailed
from testing.sightings import ALLOCATIONS, Method, Outcome, Sighting, Sightings

_ROOT: Final = Path(__file__).parents[1]
_RPCS: Final = {
    Method.ALLOC_TIMESTAMP: "rootcoord.RootCoord/AllocTimestamp",
    Method.ALLOC_ID: "rootcoord.RootCoord/AllocID",
    Method.STATES: "rootcoord.RootCoord/GetComponentStates",
}
PERIODS_MS: Final[Mapping[Method, float]] = {
    Method.ALLOC_TIMESTAMP: 2,
    Method.ALLOC_ID: 10,
    Method.STATES: 20,
}
_HEALTHY: Final = 1
_BLOCK: Final = 3  # values asked for in one call
_RECORD: Final = struct.Struct("<BBBxIqddQI")
_STALL_S: Final = 0.010
_FLUSH_S: Final = 0.02
_OPEN_MAX: Final = 64
_NICENESS: Final = -10


class Hammer(Daemon):
    """Handle of the client process: `async with Hammer([a, b], folder=...) as hammer: ...`.

    Args:
        addresses: `host:port` of the servers, any number.
        periods_ms: pause between two tries of each method at each address.
        deadline_ms: when a try is given up (its answer, if it comes, is recorded all the same).
    """

    def __init__(
        self,
        addresses: Sequence[str],
        *,
        folder: Path,
        name: str = "hammer",
        periods_ms: Mapping[Method, float] = PERIODS_MS,
        deadline_ms: float = 200,
    ) -> None:
        self.addresses = tuple(addresses)
        self._records = folder / f"{name}.records"
        self._tries: list[Sighting] = []
        self._read_bytes = 0
        periods = [f"{method.name}={period}" for method, period in periods_ms.items()]
        argv = [sys.executable, "-m", "testing.hammer", str(self._records)]
        argv += [f"--deadline-ms={deadline_ms}", f"--periods-ms={','.join(periods)}", *addresses]
        super().__init__(name, argv, folder=folder, env={"PYTHONPATH": str(_ROOT)})

    async def __aenter__(self) -> Hammer:
        await self.begin()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def begin(self) -> None:
        """Start, and return when the first tries are on record."""
        self.start()
        deadline = time.monotonic() + 10
        while not self._new_tries():
            self.check(self.running, "ended")
            self.check(time.monotonic() < deadline, "does not hammer")
            await asyncio.sleep(POLL_S)

    async def wait_success(
        self,
        address: str,
        *,
        after_s: float = -math.inf,
        within_s: float = 10.0,
        methods: Collection[Method] = ALLOCATIONS,
    ) -> Sighting:
        """The first timestamp or id that `address` gave for a try sent after `after_s`."""
        deadline, looked_at = time.monotonic() + within_s, 0
        while True:
            self._new_tries()
            for one in self._tries[looked_at:]:
                allocated = one.outcome is Outcome.OK and one.method in methods
                if allocated and one.address == address and one.sent_s > after_s:
                    return one
            looked_at = len(self._tries)
            self.check(self.running, "ended")
            self.check(time.monotonic() < deadline, f"got nothing from {address}")
            await asyncio.sleep(POLL_S)

    async def wait_until(
        self, holds: Callable[[Sightings], bool], within_s: float = 10.0
    ) -> Sightings:
        """What was seen once `holds` says so of it; looks at all of it again and again."""
        deadline = time.monotonic() + within_s
        while not holds(seen := self.sightings()):
            self.check(self.running, "ended")
            self.check(time.monotonic() < deadline, f"has not seen it in {within_s} s")
            await asyncio.sleep(POLL_S)
        return seen

    def sightings(self) -> Sightings:
        """All tries on record so far, each with the server id of its connection."""
        self._new_tries()
        ids = {
            (one.address, one.connection): one.server_id for one in self._tries if one.server_id > 0
        }
        return Sightings(
            one if one.server_id > 0 else _named(one, ids.get((one.address, one.connection), 0))
            for one in self._tries
        )

    def _new_tries(self) -> int:
        """Read what the process has recorded since the last time; how many tries."""
        if not self._records.exists():
            return 0
        with self._records.open("rb") as file:
            file.seek(self._read_bytes)
            data = file.read()
        whole = len(data) - len(data) % _RECORD.size
        self._read_bytes += whole
        records = list(_RECORD.iter_unpack(data[:whole]))
        self._tries += [self._sighting(*record) for record in records]
        return len(records)

    def _sighting(self, which: int, method: int, outcome: int, *rest: Any) -> Sighting:
        return Sighting(self.addresses[which], Method(method), Outcome(outcome), *rest)


def _named(one: Sighting, server_id: int) -> Sighting:
    return Sighting(
        one.address, one.method, one.outcome, one.connection, server_id,
        one.sent_s, one.received_s, one.first, one.count,
    )  # fmt: skip


class _Target:
    """One address, seen from inside the client process."""

    def __init__(self, which: int, address: str, file: BinaryIO, deadline_s: float) -> None:
        self._which, self._address = which, address
        self._file, self._deadline_s = file, deadline_s
        self._dialling: asyncio.Task[GrpcConnection] | None = None
        self._connection: GrpcConnection | None = None
        self._number = 0
        self._kept: collections.deque[GrpcConnection] = collections.deque()
        self._requests = {
            Method.ALLOC_TIMESTAMP: messages.new("rootcoord.AllocTimestampRequest", count=_BLOCK),
            Method.ALLOC_ID: messages.new("rootcoord.AllocIDRequest", count=_BLOCK),
            Method.STATES: messages.new("milvus.GetComponentStatesRequest"),
        }
        self._bodies = {m: request.SerializeToString() for m, request in self._requests.items()}
        self._replies = {m: messages.method_types(rpc)[1] for m, rpc in _RPCS.items()}

    async def hammer(self, method: Method, period_s: float) -> None:
        """Try for ever, one try at a time."""
        due_s = boottime_s()
        while True:
            await self._try(method)
            due_s = max(due_s + period_s, boottime_s())
            await asyncio.sleep(due_s - boottime_s())

    async def _try(self, method: Method) -> None:
        sent_s = boottime_s()
        try:
            connection = await self._connected()
        except (OSError, TimeoutError):
            self._record(method, Outcome.REFUSED, self._number, sent_s)
            return
        number = self._number
        reply = connection.send(_RPCS[method], self._bodies[method])
        reply.add_done_callback(functools.partial(self._answered, method, number, sent_s))
        done, _ = await asyncio.wait([reply], timeout=self._deadline_s)
        if not done:
            self._record(method, Outcome.TIMEOUT, number, sent_s)
            self._give_up(connection)

    async def _connected(self) -> GrpcConnection:
        """The connection in use, or a new one; callers at the same time share one dialling."""
        if self._connection is not None and self._connection.usable:
            return self._connection
        if self._dialling is None:
            self._dialling = asyncio.create_task(self._dial(), name=f"dial {self._address}")
        return await asyncio.shield(self._dialling)

    async def _dial(self) -> GrpcConnection:
        try:
            async with asyncio.timeout(self._deadline_s):
                connection = await GrpcConnection.open(self._address)
            self._connection, self._number = connection, self._number + 1
            return connection
        finally:
            self._dialling = None

    def _give_up(self, connection: GrpcConnection) -> None:
        """Dial anew next time, and keep listening to this one."""
        if self._connection is connection:
            self._connection = None
            self._kept.append(connection)
            if len(self._kept) > _OPEN_MAX:
                self._kept.popleft().close()

    def _answered(
        self, method: Method, connection: int, sent_s: float, reply: asyncio.Future[bytes]
    ) -> None:
        if reply.cancelled():
            return
        if isinstance(failure := reply.exception(), RpcFailed):
            self._record(method, Outcome.FAILED, connection, sent_s)
            return
        assert failure is None
        answer = self._replies[method].FromString(reply.result())
        if method is Method.STATES:
            state = answer.state
            outcome = Outcome.OK if state.state_code == _HEALTHY else Outcome.NOT_SERVING
            self._record(method, outcome, connection, sent_s, state.nodeID, state.state_code)
        elif answer.status.error_code != 0:
            self._record(method, Outcome.NOT_SERVING, connection, sent_s)
        else:
            first = answer.timestamp if method is Method.ALLOC_TIMESTAMP else answer.ID
            self._record(method, Outcome.OK, connection, sent_s, 0, first, answer.count)

    def _record(
        self,
        method: Method,
        outcome: Outcome,
        connection: int,
        sent_s: float,
        server_id: int = 0,
        first: int = 0,
        count: int = 0,
    ) -> None:
        self._file.write(
            _RECORD.pack(
                self._which,
                method,
                outcome,
                connection,
                server_id,
                sent_s,
                boottime_s(),
                first,
                count,
            )
        )


async def _note_stalls(file: BinaryIO, period_s: float) -> None:
    """Record when this process was not run for longer than it should; write out what is there."""
    flushed_s = before_s = boottime_s()
    while True:
        await asyncio.sleep(period_s)
        now_s = boottime_s()
        if now_s - before_s > period_s + _STALL_S:
            file.write(_RECORD.pack(0, Method.STALL, Outcome.OK, 0, 0, before_s, now_s, 0, 0))
        before_s = now_s
        if now_s - flushed_s > _FLUSH_S:
            file.flush()
            flushed_s = now_s


async def _hammer_all(options: argparse.Namespace) -> None:
    periods_s = {
        Method[name]: float(period) / 1000
        for name, _, period in (item.partition("=") for item in options.periods_ms.split(","))
    }
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    with options.records.open("ab") as file:
        tasks = [asyncio.create_task(_note_stalls(file, 0.002), name="stalls")]
        for which, address in enumerate(options.addresses):
            target = _Target(which, address, file, options.deadline_ms / 1000)
            tasks += [
                asyncio.create_task(target.hammer(method, period_s), name=f"{address} {method}")
                for method, period_s in periods_s.items()
            ]
        stopped = asyncio.create_task(stop.wait(), name="stop")
        done, _ = await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("records", type=Path)
    parser.add_argument("--deadline-ms", type=float, required=True)
    parser.add_argument("--periods-ms", required=True)
    parser.add_argument("addresses", nargs="+")
    with contextlib.suppress(PermissionError):
        os.nice(_NICENESS)
    uvloop.run(_hammer_all(parser.parse_args()))


if __name__ == "__main__":
    _main()
