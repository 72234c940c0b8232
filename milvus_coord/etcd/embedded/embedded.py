"""`etcd.use.embed`: one private etcd for all processes of a machine that name one directory."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from milvus_coord.etcd.embedded.binary import EtcdBinaryMissing, find_binary
from milvus_coord.etcd.embedded.datadir import (
    DataDir,
    EtcdNotStarted,
    client_endpoint,
    complete,
    read_config,
)
from milvus_coord.etcd.embedded.filelock import FileLock, alone
from milvus_coord.etcd.embedded.server import STOP_S, EtcdServer
from milvus_coord.runtime.clock import Clock
from milvus_coord.telemetry.log import log

__all__ = ("EmbeddedEtcd", "EmbeddedSettings", "EtcdBinaryMissing", "EtcdNotStarted", "attach")

START_S: Final = 60.0
_LOCK_S: Final = START_S + 2 * STOP_S
_POLL_S: Final = 0.02
_PORTS_TRIED: Final = 3
_PORT_TAKEN: Final = "address already in use"
_TAIL_LINES, _TAIL_BYTES = 5, 4096
# etcd's own advice is not to use these: see its post-mortem "v3.5 data inconsistency".
_LOSING: Final = ("3.5.0", "3.5.1", "3.5.2")


@dataclass(frozen=True, slots=True)
class EmbeddedSettings:
    """What `etcd.data.dir`, `etcd.config.path`, `etcd.log.level` and `etcd.log.path` say.

    `launcher` goes before etcd's command line, for who wants it to die with the caller.
    """

    data_dir: str
    config_path: str = ""
    log_level: str = "info"
    log_path: str = "stdout"
    launcher: tuple[str, ...] = ()


class EmbeddedEtcd:
    """A share in the etcd of a data directory; etcd is stopped when the last one closes its share.

    Attributes:
        endpoint: `host:port` for clients.
    """

    def __init__(
        self, server: EtcdServer, endpoint: str, users: FileLock, log_file: Path, clock: Clock
    ) -> None:
        self.endpoint = endpoint
        self._server, self._users, self._clock = server, users, clock
        self._log_file = log_file
        asyncio.get_running_loop().add_reader(server.pidfd, self._on_end)
        self._watching = True

    @property
    def pid(self) -> int:
        """Of the etcd process found or started by `attach`."""
        return self._server.pid

    def __repr__(self) -> str:
        return f"<EmbeddedEtcd {self.endpoint} {self._server!r}>"

    async def close(self) -> None:
        """Give the share back, and stop etcd when nobody else has one; may be called again."""
        if self._server.pidfd < 0:
            return
        self._unwatch()
        self._server.close()
        data_dir = self._server.data_dir
        try:
            async with alone(data_dir.start_lock, self._clock, within_s=_LOCK_S):
                if self._users.take():
                    await _stop(data_dir, self._clock)
                self._users.close()
        except OSError as error:
            log.warn("embedded etcd left as it is", error=str(error))
        finally:
            self._users.close()

    def _on_end(self) -> None:
        self._unwatch()
        self._server.reap()
        log.error(
            "the embedded etcd has ended under its users; any coordinator that is started with "
            "the same etcd.data.dir starts it again",
            data_dir=str(self._server.data_dir.path),
            pid=self._server.pid,
            log=str(self._log_file),
        )

    def _unwatch(self) -> None:
        if self._watching:
            asyncio.get_running_loop().remove_reader(self._server.pidfd)
            self._watching = False


async def attach(settings: EmbeddedSettings, clock: Clock) -> EmbeddedEtcd:
    """Find the etcd that works in `settings.data_dir`, or start it there; then have a share in it.

    Etcd belongs to no process: it outlives its starter, is found again when all its users were
    killed, and starts anew from its data when it is gone itself. It listens on 127.0.0.1 alone,
    unless `config_path` says otherwise. That setting is read by the one who starts it.

    Meant for processes that share files, process ids and loopback. A service manager that ends
    whole control groups (systemd does) ends etcd with the unit that started it.

    Raises EtcdBinaryMissing, EtcdNotStarted.
    """
    try:
        data_dir = DataDir.prepare(settings.data_dir)
        async with alone(data_dir.start_lock, clock, within_s=_LOCK_S):
            server, endpoint = await _join(data_dir, clock) or await _start(
                settings, data_dir, clock
            )
            users = FileLock(data_dir.users_lock)
            users.share()
    except OSError as error:
        raise EtcdNotStarted(f"etcd.data.dir {settings.data_dir}: {error}") from error
    return EmbeddedEtcd(server, endpoint, users, data_dir.log_file(settings.log_path), clock)


async def _join(data_dir: DataDir, clock: Clock) -> tuple[EtcdServer, str] | None:
    """The etcd that runs already, maybe just starting; None when there is none."""
    endpoint = data_dir.endpoint()
    server = EtcdServer.find(data_dir) if endpoint else None
    if server is None or endpoint is None:
        return None
    try:
        version = await _answer(server, endpoint, clock)
    except BaseException:
        server.close()
        raise
    if version is None:
        server.close()
        return None
    log.info("embedded etcd found", endpoint=endpoint, pid=server.pid, version=version)
    return server, endpoint


async def _start(
    settings: EmbeddedSettings, data_dir: DataDir, clock: Clock
) -> tuple[EtcdServer, str]:
    """A new etcd on the data in `data_dir`; another port is tried when ours is gone again."""
    binary = find_binary()
    log_file = data_dir.log_file(settings.log_path)
    tail = ""
    for _ in range(_PORTS_TRIED):
        endpoint = await asyncio.to_thread(_configure, settings, data_dir)
        began_s = clock.boottime()
        log_size = log_file.stat().st_size if log_file.exists() else 0
        server = EtcdServer.spawn(data_dir, binary, log_file, settings.launcher)
        try:
            version = await _answer(server, endpoint, clock)
        except BaseException:
            server.kill()
            server.close()
            raise
        if version is not None:
            log.info(
                "embedded etcd started",
                endpoint=endpoint,
                pid=server.pid,
                version=version,
                log=str(log_file),
                took=f"{clock.boottime() - began_s:.3f}s",
            )
            _warn_of(version, binary)
            return server, endpoint
        server.close()
        tail = _tail(log_file, log_size)
        if _PORT_TAKEN not in tail:
            break
    raise EtcdNotStarted(f"{binary} ended at once, its last words in {log_file}:\n{tail}")


def _configure(settings: EmbeddedSettings, data_dir: DataDir) -> str:
    """Put the configuration for the next start in force; the endpoint that it names."""
    wanted = read_config(Path(settings.config_path)) if settings.config_path else {}
    config = complete(wanted, data_dir, settings.log_level)
    endpoint = client_endpoint(config)
    data_dir.write_config(config)
    return endpoint


async def _answer(server: EtcdServer, endpoint: str, clock: Clock) -> str | None:
    """Wait until it serves and return its version; None when it ends instead.

    Raises EtcdNotStarted when it does neither in time.
    """
    deadline = clock.boottime() + START_S
    while server.alive:
        version = await server.version(endpoint)
        if version is not None:
            return version
        if clock.boottime() > deadline:
            raise EtcdNotStarted(
                f"the etcd of {server.data_dir.path} (pid {server.pid}) does not answer at "
                f"{endpoint} within {START_S:.0f} s"
            )
        await clock.sleep(_POLL_S)
    return None


async def _stop(data_dir: DataDir, clock: Clock) -> None:
    """Stop what runs there now; it need not be what runs since we attached."""
    server = EtcdServer.find(data_dir)
    if server is None:
        return
    try:
        if await server.stop(clock):
            data_dir.pid_file.unlink(missing_ok=True)
            log.info("embedded etcd stopped", pid=server.pid)
        else:
            log.error("embedded etcd does not end", pid=server.pid)
    finally:
        server.close()


def _warn_of(version: str, binary: Path) -> None:
    if version in _LOSING:
        log.warn(
            "this etcd may lose acknowledged writes when it is killed under load; for data that "
            "matters run etcd 3.5.28 or later",
            version=version,
            binary=str(binary),
        )


def _tail(log_file: Path, offset: int) -> str:
    """The last lines that were written behind `offset`, long ones cut."""
    with log_file.open("rb") as log_bytes:
        size = log_bytes.seek(0, 2)
        log_bytes.seek(max(offset, size - _TAIL_BYTES))
        lines = log_bytes.read().decode(errors="replace").splitlines()
    return "\n".join(line[:400] for line in lines[-_TAIL_LINES:])
