"""The released Milvus 2.2.16 for Linux x86_64: fetched once, run role by role."""

from __future__ import annotations

import asyncio
import lzma
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from testing.daemon import POLL_S, RoleDaemon
from testing.grpc_wire import RpcFailed, unary
from testing.ports import free_ports

VERSION: Final = "2.2.16"
HEALTHY: Final = 1
STANDBY: Final = 3
COORDINATORS: Final = ("rootcoord", "datacoord", "querycoord", "indexcoord")
_SERVICES: Final = {
    "rootcoord": ("rootCoord", "rootcoord.RootCoord"),
    "datacoord": ("dataCoord", "data.DataCoord"),
    "querycoord": ("queryCoord", "query.QueryCoord"),
    "indexcoord": ("indexCoord", "index.IndexCoord"),
    "datanode": ("dataNode", "data.DataNode"),
    "querynode": ("queryNode", "query.QueryNode"),
    "indexnode": ("indexNode", "index.IndexNode"),
    "proxy": ("proxy", "proxy.Proxy"),
}
_PID_FOLDERS: Final = (Path("/run/milvus"), Path("/tmp/milvus"))


class Unavailable(Exception):
    """The release cannot be had here; the text says why, fit for a skipped test."""


@dataclass(frozen=True, slots=True)
class GoMilvus:
    """An unpacked release: `bin/` with binary and libraries, and `config.yaml.template`."""

    folder: Path

    @classmethod
    def install(cls) -> GoMilvus:
        """The copy in `$MILVUS_COORD_CACHE` or `~/.cache/milvus-coord`; fetched when missing.

        It comes out of the PyPI wheel `milvus==2.2.16`, which is only unpacked, never imported.
        Raises Unavailable.
        """
        home = os.environ.get("MILVUS_COORD_CACHE") or Path.home() / ".cache/milvus-coord"
        folder = Path(home) / f"milvus-{VERSION}"
        if not folder.exists():
            try:
                folder.parent.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
                    _unpack(_download(Path(scratch)), Path(scratch) / "unpacked")
                    _publish(Path(scratch) / "unpacked", folder)
            except (OSError, subprocess.SubprocessError, zipfile.BadZipFile) as failure:
                raise Unavailable(f"no Milvus {VERSION}: {failure}") from failure
        return cls(folder)

    @property
    def binary(self) -> Path:
        return self.folder / "bin/milvus"

    def template(self) -> dict[str, Any]:
        """The wheel's configuration, place-holders at their defaults or left out."""
        text = (self.folder / "config.yaml.template").read_text()
        filled = re.sub(r"\{\{\s*\w+(?:\(\w+\))?\s*(?::\s*(.*?))?\s*\}\}", _default, text)
        return _without_blanks(yaml.safe_load(filled))


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all processes of one cluster share.

    Attributes:
        etcd_endpoints: `host:port` of each etcd member.
        kafka: `host:port` of the broker.
        storage: the folder that stands in for object storage.
        root_path: `etcd.rootPath`; clusters on one etcd need different ones.
        session_ttl_s: `common.session.ttl`.
        authorization: whether proxies ask for user and password, and look at privileges.
        settings: more of milvus.yaml, `{"tls.caPemPath": ...}`, of a role.
    """

    etcd_endpoints: tuple[str, ...]
    kafka: str
    storage: Path
    root_path: str = "by-dev"
    session_ttl_s: int = 5
    authorization: bool = False
    settings: Callable[[str], Mapping[str, str]] = lambda _: {}


class GoRole(RoleDaemon):
    """One Go process of any role, with its own folder, port and pid file.

    It listens on all interfaces, also as a standby; `address` is its loopback side. A proxy has
    a second port, `client_address`, for users.
    """

    def __init__(
        self,
        milvus: GoMilvus,
        role: str,
        around: Surroundings,
        *,
        folder: Path,
        port: int = 0,
        active_standby: bool = True,
        changes: dict[str, Any] | None = None,
    ) -> None:
        self.role = role
        free = free_ports(3)
        self.port, self.metrics_port = port or free[0], free[1]
        self.address = f"127.0.0.1:{self.port}"
        self.client_address = f"127.0.0.1:{free[2]}"
        self._alias = f"{os.getpid()}-{self.port}"
        super().__init__(
            f"go-{role}-{self.port}",
            [str(milvus.binary), "run", role, "-alias", self._alias],
            folder=folder,
            env={
                "LD_LIBRARY_PATH": str(milvus.folder / "bin"),
                "METRICS_PORT": str(self.metrics_port),
            },
        )
        settings = _merged(
            _cluster_settings(milvus.template(), around),
            {_SERVICES[role][0]: self._own_settings(free[2], active_standby)},
        )
        configs = folder / "configs"
        configs.mkdir(exist_ok=True)
        for key, value in around.settings(role).items():
            settings = _merged(settings, _nested(key, value))
        text = yaml.safe_dump(_merged(settings, changes or {}))
        (configs / "milvus.yaml").write_text(text)

    def _own_settings(self, client_port: int, active_standby: bool) -> dict[str, Any]:
        if self.role == "proxy":
            return {"port": client_port, "internalPort": self.port}
        if self.role in COORDINATORS:
            return {"port": self.port, "enableActiveStandby": active_standby}
        return {"port": self.port}

    async def state(self) -> int | None:
        """Its StateCode (HEALTHY, STANDBY, ...); None while it does not answer."""
        method = f"{_SERVICES[self.role][1]}/GetComponentStates"
        try:
            answer = await unary(self.address, method, timeout_s=1.0)
        except (OSError, RpcFailed, TimeoutError):
            return None
        return int(answer.state.state_code)

    async def wait_active(self, within_s: float = 20.0) -> None:
        await self._wait_state(HEALTHY, within_s)

    async def wait_standby(self, within_s: float = 20.0) -> None:
        await self._wait_state(STANDBY, within_s)
        await self.wait_line("start to watch ACTIVE key", within_s, after=self._spawned_at)

    def start(self) -> None:
        self._remove_leftovers()
        self._spawned_at = self.log_size()
        super().start()

    async def stop(self, within_s: float = 10.0) -> int:
        try:
            return await super().stop(within_s)
        finally:
            self._remove_leftovers()

    def kill(self) -> None:
        super().kill()
        self._remove_leftovers()

    async def _wait_state(self, wanted: int, within_s: float) -> None:
        deadline = time.monotonic() + within_s
        while (state := await self.state()) != wanted:
            self.check(self.running, "ended")
            self.check(time.monotonic() < deadline, f"has state {state} after {within_s} s")
            await asyncio.sleep(POLL_S)

    def _remove_leftovers(self) -> None:
        """What Go leaves behind: the pid file when killed, the other one always."""
        for folder in _PID_FOLDERS:
            (folder / f"{self.role}-{self._alias}.pid").unlink(missing_ok=True)
            if self._process is not None:
                (folder / f"server_id_{self.pid}").unlink(missing_ok=True)


def _download(folder: Path) -> Path:
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
            *("--only-binary=:all:", "--platform=manylinux2014_x86_64"),
            *(f"--dest={folder}", f"milvus=={VERSION}"),
        ],
        check=True,
        timeout=300,
    )
    return next(folder.glob("*.whl"))


def _unpack(wheel: Path, folder: Path) -> None:
    bin_folder = folder / "bin"
    bin_folder.mkdir(parents=True)
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.startswith("milvus/data/bin/") and name.endswith(".lzma"):
                target = bin_folder / Path(name).stem
                with lzma.open(archive.open(name)) as data, target.open("wb") as file:
                    shutil.copyfileobj(data, file)
                target.chmod(0o755)
        template = archive.read("milvus/data/config.yaml.template")
    (folder / "config.yaml.template").write_bytes(template)


def _publish(unpacked: Path, folder: Path) -> None:
    """Appear at once and whole, or leave what another process has put there first."""
    try:
        unpacked.rename(folder)
    except OSError:
        if not folder.exists():
            raise


def _default(place_holder: re.Match[str]) -> str:
    return place_holder[1] or ""


def _without_blanks(settings: dict[str, Any]) -> dict[str, Any]:
    """Go panics on an empty number, also in the section of another role."""
    return {
        key: _without_blanks(value) if isinstance(value, dict) else value
        for key, value in settings.items()
        if value is not None
    }


def _cluster_settings(template: dict[str, Any], around: Surroundings) -> dict[str, Any]:
    del template["pulsar"]  # Pulsar wins over Kafka when both are there
    return _merged(
        template,
        {
            "etcd": {
                "endpoints": list(around.etcd_endpoints),
                "rootPath": around.root_path,
                "use": {"embed": False},
            },
            "kafka": {"brokerList": around.kafka},
            "localStorage": {"path": str(around.storage)},
            "common": {
                "session": {"ttl": around.session_ttl_s},
                "chanNamePrefix": {"cluster": around.root_path},
                "security": {"authorizationEnabled": around.authorization},
            },
            "log": {"stdout": True, "level": "info", "file": {"rootPath": ""}},
        },
    )


def _nested(key: str, value: str) -> dict[str, Any]:
    """`{"a": {"b": value}}` of `a.b`."""
    head, dot, rest = key.partition(".")
    return {head: _nested(rest, value) if dot else value}


def _merged(settings: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`settings` with `changes` laid over, section by section."""
    result = dict(settings)
    for key, value in changes.items():
        if isinstance(value, dict):
            result[key] = _merged(result.get(key) or {}, value)
        else:
            result[key] = value
    return result
