"""The scenarios by their names."""

from __future__ import annotations

import importlib
import os
import pkgutil
import shutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

import tests.rig

if TYPE_CHECKING:
    from tests.rig.rig import Rig

Play: TypeAlias = Callable[["Rig"], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """What one needs, and what it does; see the package's docstring."""

    name: str
    title: str
    run: Play
    coordinators: int = 2
    etcd_members: int = 3
    ttl_s: int = 60
    serve_lease_ms: int = 1000
    env: Mapping[str, str] = field(default_factory=dict)
    statements: bool = True
    other_hosts: bool = False

    @property
    def obstacle(self) -> str:
        """Why it cannot be played here; "" when it can."""
        if self.other_hosts and (os.geteuid() != 0 or shutil.which("unshare") is None):
            return "process namespaces need root and unshare (util-linux)"
        return ""


_SCENARIOS: Final[dict[str, Scenario]] = {}


def scenario(
    name: str,
    title: str,
    *,
    coordinators: int = 2,
    etcd_members: int = 3,
    ttl_s: int = 60,
    serve_lease_ms: int = 1000,
    env: Mapping[str, str] | None = None,
    statements: bool = True,
    other_hosts: bool = False,
) -> Callable[[Play], Play]:
    """Register the function below under this name; TTL 60 makes sure that no lease helps."""

    def register(run: Play) -> Play:
        assert name not in _SCENARIOS, f"{name} is there twice"
        _SCENARIOS[name] = Scenario(
            name,
            title,
            run,
            coordinators=coordinators,
            etcd_members=etcd_members,
            ttl_s=ttl_s,
            serve_lease_ms=serve_lease_ms,
            env=env or {},
            statements=statements,
            other_hosts=other_hosts,
        )
        return run

    return register


def scenarios() -> Mapping[str, Scenario]:
    """All of them, from every module `tests.rig.scenarios_*`."""
    for module in pkgutil.iter_modules(tests.rig.__path__):
        if module.name.startswith("scenarios_"):
            importlib.import_module(f"tests.rig.{module.name}")
    return _SCENARIOS
