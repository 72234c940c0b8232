"""The data directory of an embedded etcd: its files, and the configuration written there."""

from __future__ import annotations

import ipaddress
import json
import time
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from milvus_coord.config.yaml_bounds import TooLarge, check_bounds, read_bounded
from milvus_coord.etcd.errors import EtcdError
from milvus_coord.runtime.ports import free_ports, is_free

_CLIENT_URLS: Final = "listen-client-urls"

# Relative to the data directory. A single member needs no peers, so no port for them either.
_PEER_URL: Final = "unix://peer:0"
_PEER_KEYS: Final = ("listen-peer-urls", "initial-advertise-peer-urls", "initial-cluster")
_DEFAULTS: Final = {
    "auto-compaction-mode": "periodic",
    "auto-compaction-retention": "1h",
    "quota-backend-bytes": 4 << 30,
    "snapshot-count": 10_000,
    # A single member votes for itself: nothing but its start waits for these, in milliseconds.
    "heartbeat-interval": 20,
    "election-timeout": 200,
}


class EtcdNotStarted(EtcdError):
    """The embedded etcd cannot be started or does not answer; the text says why."""


@dataclass(frozen=True, slots=True)
class DataDir:
    """`path` is absolute and free of links: it identifies the etcd that works there."""

    path: Path

    @classmethod
    def prepare(cls, text: str) -> DataDir:
        """Make the directory when it is not there, as etcd wants it. Raises OSError."""
        path = Path(text).resolve()
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return cls(path)

    @property
    def config_file(self) -> Path:
        """The configuration in force; JSON, which is YAML to etcd."""
        return self.path / "etcd.yaml"

    @property
    def pid_file(self) -> Path:
        """Written by the process that becomes etcd."""
        return self.path / "etcd.pid"

    @property
    def start_lock(self) -> Path:
        """Held by a process while it starts or stops etcd."""
        return self.path / "milvus-coord.lock"

    @property
    def users_lock(self) -> Path:
        """Shared by all processes that use etcd."""
        return self.path / "milvus-coord.users"

    def log_file(self, log_path: str) -> Path:
        """Where the output goes; `stdout` means `etcd.log` in here.

        Etcd outlives the process that starts it. That one's standard output may be a pipe, and
        the first line written after its reader has gone would kill etcd.
        """
        return self.path / "etcd.log" if log_path == "stdout" else Path(log_path).absolute()

    def endpoint(self) -> str | None:
        """`host:port` for clients by the configuration in force; None without a readable one."""
        try:
            return client_endpoint(read_config(self.config_file))
        except EtcdNotStarted:
            return None

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Put a configuration in force. Raises OSError."""
        draft = self.config_file.with_suffix(".new")
        draft.write_text(json.dumps(config, indent=1, default=str) + "\n")
        draft.replace(self.config_file)


def read_config(path: Path) -> dict[str, Any]:
    """An etcd configuration file as etcd reads it. Raises EtcdNotStarted naming the file."""
    try:
        text = read_bounded(path)
        check_bounds(text)
        config = yaml.safe_load(text)
    except OSError as error:
        raise EtcdNotStarted(f"etcd configuration {path}: {error.strerror}") from error
    except TooLarge as error:
        raise EtcdNotStarted(f"etcd configuration {path} {error}") from error
    except (yaml.YAMLError, ValueError) as error:  # of a number, of a date
        raise EtcdNotStarted(f"etcd configuration {path} is not YAML: {error}") from error
    if not isinstance(config, dict):
        raise EtcdNotStarted(f"etcd configuration {path} is not a mapping")
    return {key: value for key, value in config.items() if value is not None}


def complete(config: Mapping[str, Any], data_dir: DataDir, log_level: str) -> dict[str, Any]:
    """`config` of the user, possibly empty, with all that is needed to run.

    As in Go 2.2.16, the data directory and the logging are those of Milvus' own settings. Without
    client URLs a free port of 127.0.0.1 is taken, the one in use before if possible: those who
    survived an etcd find the next one there. May take half a second: not for the event loop.
    """
    full = {**_DEFAULTS, **config}
    if _CLIENT_URLS not in config:
        url = f"http://127.0.0.1:{_port(data_dir.endpoint())}"
        full |= {_CLIENT_URLS: url, "advertise-client-urls": url}
    if not any(key in config for key in _PEER_KEYS):
        name = full.setdefault("name", "default")
        full |= dict.fromkeys(_PEER_KEYS, _PEER_URL)
        full["initial-cluster"] = f"{name}={_PEER_URL}"
    return full | {
        "data-dir": str(data_dir.path),
        "log-level": log_level,
        "logger": "zap",
        "log-outputs": ["stderr"],
    }


def client_endpoint(config: Mapping[str, Any]) -> str:
    """`host:port` of the first client URL. Raises EtcdNotStarted when it is not plain http."""
    first = str(config.get(_CLIENT_URLS, "")).partition(",")[0]
    try:
        url = urllib.parse.urlsplit(first)
        if url.scheme != "http" or not url.hostname or not url.port:
            raise ValueError(first)
    except ValueError:
        raise EtcdNotStarted(
            f"{_CLIENT_URLS} of the embedded etcd must begin with http://host:port, not {first!r}"
        ) from None
    host = _reachable(url.hostname)
    return f"[{host}]:{url.port}" if ":" in host else f"{host}:{url.port}"


def _reachable(host: str) -> str:
    """The host itself, loopback for one that means every interface."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if not address.is_unspecified:
        return host
    return "::1" if address.version == 6 else "127.0.0.1"


def _port(before: str | None) -> int:
    """The port of the endpoint `before` if it comes free in half a second, else another."""
    if before is not None:
        port = int(before.rpartition(":")[2])
        # A process just killed may still be closing its sockets.
        for _ in range(25):
            if is_free(port):
                return port
            time.sleep(0.02)
    return free_ports(1)[0]
