"""The mirror with as many keys as a datacoord of 100,000 segments has: 800,000 in four prefixes.

Values are FieldBinlogs of 120 bytes. A process of its own reads them as a standby does; once it
decodes every value into a record, once it keeps the bytes and reads the key only. Printed are

- the microseconds to read and decode one key, by the wall clock and by the processor time of ours
  and of etcd, which work in turns;
- the memory of the image per key, and how much more the process ever had while it read;
- the longest time for which the event loop was held, by the wall clock and by processor time: on a
  machine with other work the first has what others took;
- what a takeover does with the mirror: win the key, catch up, and have the mark in the image, over
  all these keys and over none.

    python -m benchmarks.mirror_scale --keys 800000 --rounds 50
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import uvloop

from benchmarks.report import Series, table
from milvus_coord.etcd.client.client import EtcdClient
from milvus_coord.etcd.settings import EtcdSettings
from milvus_coord.etcd.txn import MAX_OPS, Txn, put
from milvus_coord.ha.election.fence import Fence
from milvus_coord.ha.mirror.image import Mirrored
from milvus_coord.ha.mirror.mirror import Mirror
from milvus_coord.runtime.clock import SystemClock
from milvus_coord.runtime.race import cancel_and_wait
from milvus_coord.wire.descriptors import message_class
from testing.etcd import EtcdMember

ROOMS: Final = ("channelwatch", "datacoord-meta", "flushed-segment", "segmentRefer")
META: Final = "by-dev/meta"
ACTIVE: Final = f"{META}/session/benchmark".encode()
VALUE_BYTES: Final = 120
MEBIBYTE: Final = 1 << 20
_WRITERS: Final = 24


@dataclass(frozen=True, slots=True)
class Log:
    """What a FieldBinlog says, as a role would hold it."""

    field: int
    entries: int
    ts_from: int
    ts_to: int
    size: int
    path: str


class Raw:
    """Values as they are, by room, segment and field; they are decoded when they are looked at."""

    def __init__(self) -> None:
        self.rooms: dict[bytes, dict[tuple[int, int], object]] = {r.encode(): {} for r in ROOMS}

    def put(self, key: bytes, value: bytes) -> None:
        room, segment, field = key.split(b"/")[-3:]
        self.rooms[room][int(segment), int(field)] = self.held(value)

    def delete(self, key: bytes) -> None:
        room, segment, field = key.split(b"/")[-3:]
        self.rooms[room].pop((int(segment), int(field)), None)

    def records(self) -> Iterator[object]:
        return iter(tuple((*room.items(),) for room in self.rooms.values()))

    def check(self) -> list[str]:
        return []

    def held(self, value: bytes) -> object:
        return value


class Decoded(Raw):
    """Values as records."""

    def held(self, value: bytes) -> object:
        message = _FIELD_BINLOG.FromString(value)
        log = message.binlogs[0]
        return Log(
            message.fieldID,
            log.entries_num,
            log.timestamp_from,
            log.timestamp_to,
            log.log_size,
            log.log_path,
        )


IMAGES: Final[dict[str, type[Raw]]] = {"decoded": Decoded, "raw": Raw}
_FIELD_BINLOG: Final[Any] = message_class("milvus.proto.data.FieldBinlog")


def _value(segment: int, field: int) -> bytes:
    message = _FIELD_BINLOG(fieldID=field)
    path = f"files/insert_log/444/445/{segment}/{field}/"
    log = message.binlogs.add(
        entries_num=1000, timestamp_from=445644800262144000, timestamp_to=445644804359296000
    )
    log.log_size, log.log_path = 65536, path
    missing = VALUE_BYTES - message.ByteSize()
    log.log_path = path + "4" * missing
    value: bytes = message.SerializeToString()
    return value


@dataclass(frozen=True, slots=True)
class Result:
    """One reading, and the takeovers after it; times in seconds, memory in bytes."""

    keys: int
    wall_s: float
    cpu_s: float
    etcd_cpu_s: float
    image_bytes: int
    beside_bytes: int
    held_s: float
    held_cpu_s: float
    takeovers_s: tuple[float, ...]


class Holds:
    """How long the event loop is held at worst, while the block lasts."""

    def __init__(self) -> None:
        self.wall_s = self.cpu_s = 0.0

    async def watch(self) -> None:
        while True:
            wall_s, cpu_s = time.perf_counter(), time.thread_time()
            await asyncio.sleep(0.001)
            self.wall_s = max(self.wall_s, time.perf_counter() - wall_s - 0.001)
            self.cpu_s = max(self.cpu_s, time.thread_time() - cpu_s)


def _memory(name: str) -> int:
    """`VmRSS` or `VmHWM` of this process."""
    status = Path("/proc/self/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024


def _cpu_s(pid: int) -> float:
    """Processor time of a process so far, in steps of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _mirrored(image: str, meta: str) -> Mirrored[Any]:
    prefixes = tuple(f"{meta}/{room}/".encode() for room in ROOMS)
    return Mirrored(prefixes, f"{meta}/ha/benchmark/".encode(), IMAGES[image])


@asynccontextmanager
async def _connected(endpoint: str) -> AsyncIterator[EtcdClient]:
    client = EtcdClient(EtcdSettings((endpoint,)), SystemClock())
    await client.connect()
    try:
        yield client
    finally:
        await client.close()


async def fill(endpoint: str, keys: int) -> None:
    """Write them as fast as etcd takes them."""
    numbers = iter(range(0, keys, MAX_OPS))

    async def write(client: EtcdClient) -> None:
        for start in numbers:
            ops = []
            for number in range(start, min(start + MAX_OPS, keys)):
                segment, field = 445644800262144000 + number // 8, 100 + number // 4 % 2
                key = f"{META}/{ROOMS[number % 4]}/{segment}/{field}"
                ops.append(put(key.encode(), _value(segment, field)))
            await client.txn(Txn((), tuple(ops)))

    async with _connected(endpoint) as client, asyncio.TaskGroup() as tasks:
        for number in range(_WRITERS):
            tasks.create_task(write(client), name=f"write {number}")


async def measure(endpoint: str, pid: int, image: str, rounds: int, meta: str) -> Result:
    """Read, then take over again and again, in this process."""
    async with _connected(endpoint) as client:
        mirror = Mirror(client, SystemClock(), _mirrored(image, meta))
        holds = Holds()
        watching = asyncio.create_task(holds.watch(), name="holds")
        etcd_cpu_s = _cpu_s(pid)
        before_bytes, began_s, cpu_s = _memory("VmRSS"), time.perf_counter(), time.process_time()
        following = asyncio.create_task(mirror.run(), name="mirror")
        await mirror.reached(1)
        wall_s, cpu_s = time.perf_counter() - began_s, time.process_time() - cpu_s
        etcd_cpu_s = _cpu_s(pid) - etcd_cpu_s
        after_bytes, peak_bytes = _memory("VmRSS"), _memory("VmHWM")
        await cancel_and_wait(watching)
        took = [await _takeover(client, mirror) for _ in range(rounds)]
        await cancel_and_wait(following)
        return Result(
            keys=mirror.keys,
            wall_s=wall_s,
            cpu_s=cpu_s,
            etcd_cpu_s=etcd_cpu_s,
            image_bytes=after_bytes - before_bytes,
            beside_bytes=max(0, peak_bytes - after_bytes),
            held_s=holds.wall_s,
            held_cpu_s=holds.cpu_s,
            takeovers_s=tuple(took),
        )


async def _takeover(client: EtcdClient, mirror: Mirror[Any]) -> float:
    began_s = time.perf_counter()
    epoch = (await client.txn(Txn((), (put(ACTIVE, b"me"),)))).revision
    await mirror.catch_up(Fence(client, ACTIVE, 0, epoch))
    return time.perf_counter() - began_s


async def _in_a_process(etcd: EtcdMember, *words: str) -> Result:
    at = ("--at", etcd.client_endpoint, "--pid", str(etcd.pid))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.mirror_scale", *at, *words),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"measuring ended with {process.returncode}")
    return Result(**json.loads(out.splitlines()[-1]))


async def compare(keys: int, rounds: int) -> str:
    """The table."""
    with tempfile.TemporaryDirectory(prefix="milvus-coord-") as folder:
        etcd = EtcdMember("mirror-scale", Path(folder))
        try:
            await etcd.start()
            await fill(etcd.client_endpoint, keys)
            more = ("--rounds", str(rounds))
            found = {image: await _in_a_process(etcd, "--image", image, *more) for image in IMAGES}
            empty = await _in_a_process(etcd, "--meta", "nothing", *more)
        finally:
            etcd.kill()
    return "\n\n".join([_readings(found), _takeovers({**found, "nothing": empty})])


_FIGURES: Final[dict[str, Callable[[Result], float]]] = {
    "read and decoded, us a key": lambda one: one.wall_s / one.keys * 1e6,
    "  processor of ours, us a key": lambda one: one.cpu_s / one.keys * 1e6,
    "  processor of etcd, us a key": lambda one: one.etcd_cpu_s / one.keys * 1e6,
    "image, bytes a key": lambda one: one.image_bytes / one.keys,
    "peak beside it, MiB": lambda one: one.beside_bytes / MEBIBYTE,
    "loop held at worst, ms": lambda one: one.held_s * 1000,
    "  processor of it, ms": lambda one: one.held_cpu_s * 1000,
}


def _readings(found: dict[str, Result]) -> str:
    rows = [["image", *found]]
    rows.append(["keys", *(f"{each.keys:,}" for each in found.values())])
    for name, value in _FIGURES.items():
        rows.append([name, *(f"{value(each):.1f}" for each in found.values())])
    return table(rows)


def _takeovers(found: dict[str, Result]) -> str:
    rows = [["catching up over", "rounds", "p50 ms", "p99 ms", "max ms"]]
    for name, result in found.items():
        took = Series(name, tuple(each * 1000 for each in result.takeovers_s))
        figures = (took.median, took.percentile(99), took.largest)
        rows.append(
            [f"{name}, {result.keys:,} keys", str(len(took.values)), *(f"{f:.2f}" for f in figures)]
        )
    return table(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=800_000)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--at", default="", help="measure this etcd in this process, print JSON")
    parser.add_argument("--pid", type=int, default=0, help="of that etcd")
    parser.add_argument("--image", choices=IMAGES, default="decoded")
    parser.add_argument("--meta", default=META)
    options = parser.parse_args()
    if options.at:
        measuring = measure(options.at, options.pid, options.image, options.rounds, options.meta)
        print(json.dumps(asdict(uvloop.run(measuring))))
    else:
        print(asyncio.run(compare(options.keys, options.rounds)))


if __name__ == "__main__":
    main()
