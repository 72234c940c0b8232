"""What all verbs that talk to etcd share: settings, a connected client, errors as exit codes."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from milvus_coord.app.etcd import etcd_settings, stored_settings, with_advice
from milvus_coord.config import ConfigError, Loaded, Settings, load, load_stored
from milvus_coord.etcd.client.client import EtcdClient
from milvus_coord.etcd.embedded.datadir import DataDir
from milvus_coord.etcd.errors import AuthFailed, CertificateError, EtcdError, PermissionDenied
from milvus_coord.etcd.rights import Right, is_granted
from milvus_coord.ha.pair.keys import Keys
from milvus_coord.ha.pair.operator_requests import RequestRefused
from milvus_coord.runtime.clock import Clock, SystemClock
from milvus_coord.runtime.taskgroup import leaves
from milvus_coord.telemetry.log import FATAL, log

DONE: Final = 0
TROUBLE: Final = 1
MISTAKE: Final = 2
REFUSED: Final = 3
INTERRUPTED: Final = 130

CONNECT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Connection:
    """An etcd that has answered, and the settings that led there; those in etcd are over them.

    Those in etcd are left out where our user may not read them.
    """

    etcd: EtcdClient
    clock: Clock
    loaded: Loaded
    meta_root: str

    @property
    def settings(self) -> Settings:
        """What is in force."""
        return self.loaded.settings

    def keys(self, role: str) -> Keys:
        """The keys of one role."""
        return Keys(self.meta_root, role)

    async def readable(self, roles: Sequence[str]) -> tuple[str, ...]:
        """Those whose keys our user may read; of the others standard error gets a line each.

        Raises PermissionDenied when there is none, and etcd's other errors.
        """
        granted, lacking = [], []
        for role in roles:
            right = Right.below(self.keys(role).ha, write=False)
            if await is_granted(self.etcd, right):
                granted.append(role)
            else:
                lacking.append(f"{role} is left out, its keys may not be read: grant {right}")
        if not granted:
            raise PermissionDenied("; ".join(lacking))
        for line in lacking:
            print(f"milvus: {line}", file=sys.stderr)
        return tuple(granted)


@dataclass(frozen=True, slots=True)
class Place:
    """Where to look: the settings file, and what the command line says over all settings."""

    config: Path | None = None
    endpoints: str | None = None
    root_path: str | None = None

    @property
    def environ(self) -> dict[str, str]:
        """The environment with what was said."""
        said = {
            "ETCD_ENDPOINTS": self.endpoints,
            "ETCD_USE_EMBED": "false" if self.endpoints else None,
            "ETCD_ROOT_PATH": self.root_path,
        }
        return {**os.environ, **{name: text for name, text in said.items() if text}}


def run(verb: Callable[[Connection], Awaitable[int]], place: Place, *, role: str) -> int:
    """Connect, run `verb`, and return its exit code; what goes wrong is said on standard error.

    Nothing is logged: what an operator must know is in what the verb prints. Raises
    BrokenPipeError when nobody reads that.
    """
    log.floor = FATAL + 1
    try:
        return _judged(verb, place, role)
    except KeyboardInterrupt:
        return INTERRUPTED


def _judged(verb: Callable[[Connection], Awaitable[int]], place: Place, role: str) -> int:
    code, read = TROUBLE, True
    try:
        code = asyncio.run(_run(verb, place, role))
    except* RequestRefused as refusals:
        code = _tell(refusals, REFUSED)
    except* (AuthFailed, CertificateError, ConfigError, PermissionDenied, ValueError) as mistakes:
        code = _tell(mistakes, MISTAKE)
    except* BrokenPipeError:
        read = False
    except* (EtcdError, OSError) as failures:
        code = _tell(failures, TROUBLE)
    if not read:  # raised in a handler it would come as a group
        raise BrokenPipeError
    return code


async def _run(verb: Callable[[Connection], Awaitable[int]], place: Place, role: str) -> int:
    async with _connected(place, role) as connection:
        return await verb(connection)


@asynccontextmanager
async def _connected(place: Place, role: str) -> AsyncIterator[Connection]:
    environ = place.environ
    loaded = load(role, config=place.config, environ=environ)
    settings, clock = loaded.settings, SystemClock()
    etcd = EtcdClient(etcd_settings(settings, _embedded(settings)), clock)
    try:
        try:
            await etcd.connect(timeout_s=CONNECT_S)
            overlay = await stored_settings(etcd, settings, timeout_s=CONNECT_S)
        except AuthFailed as failure:
            raise with_advice(settings, failure) from failure
        except PermissionDenied:
            overlay = {}
        if overlay:
            loaded = load_stored(role, config=place.config, environ=environ, overlay=overlay)
        yield Connection(etcd, clock, loaded, settings.etcd.meta_root)
    finally:
        await etcd.close()


def _embedded(settings: Settings) -> tuple[str, ...]:
    """Where the embedded etcd was last started; nothing is started from here."""
    if not settings.etcd.use_embed:
        return ()
    endpoint = DataDir(Path(settings.etcd.data_dir).resolve()).endpoint()
    if endpoint is None:
        raise OSError(f"no etcd was ever started in etcd.data.dir {settings.etcd.data_dir}")
    return (endpoint,)


def _tell(group: BaseExceptionGroup[BaseException], code: int) -> int:
    for error in dict.fromkeys(map(str, leaves(group))):
        print(f"milvus: {error}", file=sys.stderr)
    return code
