"""A real pymilvus 2.2.17 beside the tests, with the old libraries that it is made for."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

from testing.daemon import POLL_S, Daemon
from testing.go_milvus import Unavailable
from testing.ports import free_ports

VERSION: Final = "2.2.17"
# It wants grpcio <= 1.58, which is older than ours, and breaks with marshmallow 4.
_PINS: Final = (
    f"pymilvus=={VERSION}",
    "grpcio==1.58.0",
    "protobuf==4.25.8",
    "environs==9.5.0",
    "marshmallow==3.26.2",
    "numpy==1.26.4",
    "pandas==2.2.3",
    "setuptools==75.8.0",  # of the last with pkg_resources
)
_SIDE: Final = Path(__file__).with_name("cluster_pymilvus_side.py")


class PymilvusError(Exception):
    """What pymilvus raised: the name of its class, its code and its message."""

    def __init__(self, kind: str, code: object, message: str) -> None:
        super().__init__(f"{kind} {code}: {message}")
        self.kind, self.code, self.message = kind, code, message


def install() -> Path:
    """The folder with pymilvus and all it needs, beside the copy of Milvus; made when missing.

    Raises Unavailable, for example where this Python is too new for the libraries of that time.
    """
    home = Path(os.environ.get("MILVUS_COORD_CACHE") or Path.home() / ".cache/milvus-coord")
    folder = home / "pymilvus-{}-py{}.{}".format(VERSION, *sys.version_info[:2])
    if folder.exists():
        return folder
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home) as scratch:
        made = Path(scratch) / "made"
        argv = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        argv += ["--only-binary=:all:", f"--target={made}", *_PINS]
        try:
            subprocess.run(argv, check=True, timeout=300, capture_output=True, text=True)
            made.rename(folder)
        except subprocess.CalledProcessError as failure:
            raise Unavailable(f"no pymilvus {VERSION}: {_last_line(failure.stderr)}") from failure
        except (OSError, subprocess.SubprocessError) as failure:
            if not folder.exists():
                raise Unavailable(f"no pymilvus {VERSION}: {failure}") from failure
    return folder


class Pymilvus(Daemon):
    """A process with pymilvus in it; users log in to it.

    Args:
        library: what `install` returned.
        address: `host:port` of the proxy.
    """

    def __init__(self, library: Path, address: str, *, folder: Path) -> None:
        self._address = address
        self._names = (f"user-{number}" for number in itertools.count())
        self._port = free_ports(1)[0]
        super().__init__(
            "pymilvus",
            [sys.executable, "-S", str(_SIDE), str(self._port)],
            folder=folder,
            env={"PYTHONPATH": str(library)},
        )

    async def begin(self) -> None:
        """Start it and return when it listens."""
        loop = asyncio.get_running_loop()
        came: asyncio.Future[_Link] = loop.create_future()
        async with await loop.create_server(lambda: _Link(came), "127.0.0.1", self._port):
            self.start()
            deadline = time.monotonic() + 30
            while not came.done():
                self.check(self.running and time.monotonic() < deadline, "does not come up")
                await asyncio.sleep(POLL_S)
        self._link = came.result()

    async def login(
        self,
        user: str = "",
        password: str = "",
        database: str = "default",
        tls: Mapping[str, object] | None = None,
    ) -> User:
        """A connection of this user to this database. Raises PymilvusError.

        `tls` is what pymilvus takes: `secure`, `server_name` and the paths of certificates.
        """
        made = User(self._link, next(self._names))
        await made.connect(self._address, user, password, database, dict(tls or {}))
        return made

    async def refusal(self, user: str, password: str) -> str:
        """Why this user is not let in, empty when he is."""
        return str(await User(self._link, user).refusal(self._address, user, password))


class User:
    """One connection of pymilvus: methods are the functions of cluster_pymilvus_side.

    Arguments and results are plain values, as of JSON. Raises PymilvusError.
    """

    def __init__(self, link: _Link, name: str) -> None:
        self._link, self._name = link, name

    def __getattr__(self, call: str) -> Callable[..., Awaitable[Any]]:
        def begin(*args: object, **kwargs: object) -> Awaitable[Any]:
            return self._link.ask(call, [self._name, *args], kwargs)

        return begin


async def import_ended(user: User, task: int, within_s: float = 40.0) -> dict[str, Any]:
    """`{state, rows, infos}` of a bulk insert, once it is complete or has failed."""
    deadline = time.monotonic() + within_s
    while True:
        state: dict[str, Any] = await user.bulk_insert_state(task)
        if state["state"] not in ("Pending", "Started", "Persisted"):
            return state
        assert time.monotonic() < deadline, state
        await asyncio.sleep(0.1)


class _Link(asyncio.Protocol):
    """The socket to the process; `came` gets it when the process has dialled."""

    def __init__(self, came: asyncio.Future[_Link]) -> None:
        self._came = came
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._ids = itertools.count()
        self._unread = b""

    def ask(self, call: str, args: Sequence[object], kwargs: dict[str, object]) -> Awaitable[Any]:
        number = next(self._ids)
        question = {"id": number, "call": call, "args": args, "kwargs": kwargs}
        self._transport.write(json.dumps(question).encode() + b"\n")
        self._asked[number] = asyncio.get_running_loop().create_future()
        return self._asked[number]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop has a class of its own
        self._came.set_result(self)

    def data_received(self, data: bytes) -> None:
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            answer = json.loads(line)
            asked = self._asked.pop(answer["id"])
            if asked.done():
                continue
            if error := answer.get("error"):
                asked.set_exception(PymilvusError(error["type"], error["code"], error["message"]))
            else:
                asked.set_result(answer["result"])

    def connection_lost(self, exc: Exception | None) -> None:
        for asked in self._asked.values():
            if not asked.done():
                asked.set_exception(ConnectionResetError(f"pymilvus ended: {exc}"))


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["pip failed"])[-1]
