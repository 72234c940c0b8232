"""Who may import whom inside milvus_coord, and who may send transactions."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

import milvus_coord

PACKAGE: Final = "milvus_coord"

# From the ground up: a part imports itself and what lies in a lower row, nothing beside or above.
ROWS: Final = (
    ("model",),
    ("wire", "config", "telemetry", "runtime"),
    ("etcd", "rpc", "mq", "storage"),
    ("ha", "clients", "allocator"),
    ("role",),
    ("coordinators",),
    ("app",),
    ("cli",),
    ("__main__",),
)
LEVEL: Final = {part: level for level, row in enumerate(ROWS) for part in row}

RPCS: Final = r"(role\.rpcs|coordinators\.\w+\.(\w+\.)?rpcs(_\w+)?)"
CATALOG: Final = r"coordinators\.\w+\.\w+\.catalog(_\w+)?"
PURE: Final = r"coordinators\.(?P<role>\w+)\.\w+\.((state|rules)(_\w+)?|events)"

# Where each of these may be imported; the patterns match a module or a package and all in it.
HOMES: Final = {
    f"{PACKAGE}.pb": ("pb", "wire", "rpc", "clients", "mq", RPCS, CATALOG),
    "aetcd": ("etcd",),
    "grpc": ("etcd",),
    "grpclib": ("rpc", "clients", "wire", "pb", RPCS),
}
# Metadata is written through the fence alone; the other files write the keys of ha itself.
TXN_METHODS: Final = ("txn",)
TXN_HOMES: Final = (
    "etcd",
    r"ha\.election\.(fence|session|server_id|standby|handover|status_publisher)",
    r"ha\.pair\.operator_requests",
    r"ha\.detection\.challenge",
)
FOR_ALL: Final = "telemetry.log"
NOT_SHIPPED: Final = ("testing", "tests", "benchmarks", "scripts")


@dataclass(frozen=True, slots=True)
class Module:
    """One source file; `name` is dotted and starts below the package: `ha.fence`."""

    name: str
    path: Path
    tree: ast.Module

    @property
    def part(self) -> str:
        return self.name.partition(".")[0]

    def is_in(self, *homes: str) -> bool:
        return lies_in(self.name, *homes)


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module, by its full dotted name, whatever the form of the statement."""

    target: str
    line: int

    @property
    def ours(self) -> str | None:
        """The target's name below the package, None for the code of others."""
        if self.target == PACKAGE or not lies_in(self.target, PACKAGE):
            return None
        return self.target.removeprefix(f"{PACKAGE}.")


def lies_in(name: str, *homes: str) -> bool:
    """Whether `name` is one of the modules or inside one of the packages (patterns) named."""
    return any(re.fullmatch(rf"({home})(\..*)?", name) for home in homes)


def modules(root: Path) -> list[Module]:
    """Every source file below `root`, the directory of the package."""
    found = []
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        found.append(Module(".".join(parts), path, ast.parse(path.read_text("utf-8"), str(path))))
    return found


def imports(module: Module, known: set[str]) -> Iterator[Import]:
    """What `module` imports, also inside functions, under TYPE_CHECKING or by importlib.

    Args:
        module: whose statements to read.
        known: full names of our modules, to tell `from package import module` from a mere name.
    """
    for node in ast.walk(module.tree):
        match node:
            case ast.Import():
                for alias in node.names:
                    yield Import(alias.name, node.lineno)
            case ast.ImportFrom():
                origin = _origin(module, node)
                for alias in node.names:
                    full = f"{origin}.{alias.name}"
                    yield Import(full if full in known else origin, node.lineno)
            case ast.Call(
                func=ast.Attribute(attr="import_module") | ast.Name(id="import_module"),
                args=[ast.Constant(value=str(target)), *_],
            ):
                yield Import(target, node.lineno)


def _origin(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    full = [PACKAGE, *module.name.split(".")] if module.name else [PACKAGE]
    up = node.level - (module.path.name == "__init__.py")
    return ".".join([*full[: len(full) - up], *([node.module] if node.module else [])])


def why_not(module: Module, target: Import) -> str | None:
    """The rule that this import breaks, None when it breaks none."""
    for guarded, homes in HOMES.items():
        if lies_in(target.target, guarded) and not module.is_in(*homes):
            return f"{guarded} belongs to {', '.join(homes)}"
    if lies_in(target.target, *NOT_SHIPPED):
        return "is not shipped"
    ours = target.ours
    if ours is None:
        return None
    if not module.name:
        return "the package itself imports no part"
    if pure := re.match(rf"{PURE}(\.|$)", module.name):
        pure_too = re.match(rf"{PURE}(\.|$)", ours)
        same_role = pure_too is not None and pure_too["role"] == pure["role"]
        if lies_in(ours, "model") or same_role:
            return None
        return "state, events and rules import the model alone"
    return _why_not_level(module, ours) or _why_not_role(module, ours)


def _why_not_level(module: Module, ours: str) -> str | None:
    own, other = module.part, ours.partition(".")[0]
    if other in (own, "pb"):
        return None
    if own == "pb":
        return "generated code imports nothing of ours"
    if own not in LEVEL or other not in LEVEL:
        return f"{other if own in LEVEL else own} has no row"
    if lies_in(ours, FOR_ALL) and own != "model":
        return None
    return None if LEVEL[other] < LEVEL[own] else f"{own} may not import {other}"


def _why_not_role(module: Module, ours: str) -> str | None:
    """Roles do not see each other; what they share, `role`, sees no role by the rows."""
    mine, theirs = module.name.split("."), ours.split(".")
    if mine[:1] != ["coordinators"] or theirs[:1] != ["coordinators"]:
        return None
    if len(theirs) < 2 or mine[:2] == theirs[:2] or not _is_role(theirs[1]):
        return None
    return "roles never import each other" if len(mine) > 1 else "the list of roles is app's"


def _is_role(name: str) -> bool:
    return name.endswith("coord")


def broken(root: Path) -> list[str]:
    """Every import and transaction below `root` that breaks a rule, as `file:line what: why`."""
    found = modules(root)
    known = {f"{PACKAGE}.{module.name}" for module in found}
    lines = []
    for module in found:
        place = module.path.relative_to(root.parent)
        lines += [
            f"{place}:{target.line} imports {target.target}: {reason}"
            for target in dict.fromkeys(imports(module, known))
            if (reason := why_not(module, target))
        ]
        if not module.is_in(*TXN_HOMES):
            lines += [f"{place}:{line} sends a transaction" for line in txn_calls(module)]
    return lines


def txn_calls(module: Module) -> Iterator[int]:
    """Lines that call a method of TXN_METHODS, of whatever object."""
    for node in ast.walk(module.tree):
        match node:
            case ast.Call(func=ast.Attribute(attr=method)) if method in TXN_METHODS:
                yield node.lineno


def test_the_house() -> None:
    root = Path(str(milvus_coord.__file__)).parent
    assert len(modules(root)) > 20, "the walker found no code"
    assert not broken(root), "\n" + "\n".join(broken(root))


ALLOWED: Final = [
    ("model/names.py", "import re"),
    ("runtime/loops.py", "from milvus_coord.telemetry.log import log"),
    ("runtime/loops.py", "from milvus_coord.telemetry import log"),
    ("runtime/loops.py", "from milvus_coord.model.errors import CoordError"),
    ("wire/codec.py", "import milvus_coord.pb.milvus.proto.common"),
    ("etcd/client.py", "import aetcd, grpc.aio"),
    ("rpc/server.py", "from grpclib.server import Server"),
    ("ha/election/fence.py", "async def f(client): await client.txn([], [])"),
    ("ha/detection/challenge.py", "async def f(client): await client.txn([], [])"),
    ("allocator/window.py", "from milvus_coord.etcd.client.client import Client"),
    ("coordinators/rootcoord/metadata/state.py", "from milvus_coord.model.ids import CollectionId"),
    (
        "coordinators/rootcoord/metadata/state.py",
        "import milvus_coord.coordinators.rootcoord.quota.rules",
    ),
    ("coordinators/rootcoord/access/rpcs.py", "import milvus_coord.pb, grpclib"),
    ("coordinators/rootcoord/rpcs.py", "import milvus_coord.pb"),
    ("coordinators/rootcoord/metadata/catalog.py", "import milvus_coord.pb.milvus"),
    ("coordinators/rootcoord/role.py", "from milvus_coord.role.shape import Role"),
    ("coordinators/rootcoord/collections/ddl.py", "def f():\n    return 'client.txn()'"),
    ("app/etcd.py", "import milvus_coord.config, milvus_coord.etcd.settings"),
    ("app/process.py", "from milvus_coord.coordinators.rootcoord.role import build"),
    ("app/process.py", "from milvus_coord.app.etcd import etcd_settings"),
    ("cli/main.py", "def run():\n    from milvus_coord.app.process import serve"),
    ("cli/main.py", "from milvus_coord import __version__"),
]

FORBIDDEN: Final = [
    ("model/names.py", "from milvus_coord.telemetry.log import log", "model may not"),
    ("runtime/loops.py", "import milvus_coord.etcd.client.client", "runtime may not import etcd"),
    ("runtime/loops.py", "import milvus_coord.telemetry.metrics", "runtime may not import telem"),
    ("wire/codec.py", "import milvus_coord.config.sections", "wire may not import config"),
    ("etcd/client.py", "from milvus_coord.ha import fence", "etcd may not import ha"),
    ("etcd/client.py", "from ..ha.fence import Fence", "etcd may not import ha"),
    ("etcd/__init__.py", "from ..ha import fence", "etcd may not import ha"),
    ("etcd/client.py", "import milvus_coord.rpc.client", "etcd may not import rpc"),
    ("ha/fence.py", "import milvus_coord.coordinators.rootcoord.role", "ha may not"),
    ("ha/fence.py", "if 0:\n    from milvus_coord.app import process", "ha may not import app"),
    (
        "ha/peers.py",
        "import importlib as i\ni.import_module('milvus_coord.app.process')",
        "ha may not",
    ),
    ("ha/peers.py", "import milvus_coord.pb.milvus", "milvus_coord.pb belongs to"),
    ("ha/peers.py", "import grpclib.client", "grpclib belongs to rpc"),
    ("rpc/server.py", "from grpc import aio", "grpc belongs to etcd"),
    ("ha/election.py", "from aetcd import Client", "aetcd belongs to etcd"),
    ("ha/election.py", "async def f(self): await self._etcd.txn([], [])", ":1 sends a transaction"),
    ("ha/claim.py", "async def f(client): await client.txn([], [])", ":1 sends a transaction"),
    ("ha/fence.py", "import milvus_coord.app.etcd", "ha may not import app"),
    ("coordinators/rootcoord/collections/ddl.py", "import milvus_coord.pb.milvus", "pb belongs to"),
    (
        "coordinators/rootcoord/collections/ddl.py",
        "x = lambda c: c.txn()",
        ":1 sends a transaction",
    ),
    ("coordinators/rootcoord/role.py", "import milvus_coord.coordinators.datacoord", "never"),
    ("role/shape.py", "import milvus_coord.coordinators.datacoord.role", "role may not"),
    ("coordinators/__init__.py", "import milvus_coord.coordinators.rootcoord", "app's"),
    (
        "coordinators/rootcoord/metadata/state.py",
        "from milvus_coord.ha.election.fence import Fence",
        "alone",
    ),
    ("coordinators/rootcoord/metadata/state.py", "import milvus_coord.telemetry.log", "alone"),
    ("coordinators/rootcoord/quota/rules.py", "import milvus_coord.config", "alone"),
    ("coordinators/rootcoord/quota/rules.py", "import milvus_coord.role.shape", "alone"),
    (
        "coordinators/rootcoord/allocators/work.py",
        "import milvus_coord.cli.main",
        "may not import cli",
    ),
    ("pb/__init__.py", "import milvus_coord.model.errors", "generated code"),
    ("attic/old.py", "import milvus_coord.model.errors", "attic has no row"),
    ("ha/fence.py", "import milvus_coord.attic", "attic has no row"),
    ("ha/fence.py", "from testing import etcd", "is not shipped"),
    ("__init__.py", "from milvus_coord.app.process import serve", "imports no part"),
]


def sample(tmp_path: Path, path: str, source: str) -> Path:
    """A package with one file of substance; the modules that others name as modules exist too."""
    root = tmp_path / PACKAGE
    for name in ("telemetry/log.py", "ha/election/fence.py", "app/process.py", path):
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source if name == path else "")
    return root


@pytest.mark.parametrize(("path", "source"), ALLOWED)
def test_the_walker_lets_pass(tmp_path: Path, path: str, source: str) -> None:
    assert broken(sample(tmp_path, path, source)) == []


@pytest.mark.parametrize(("path", "source", "reason"), FORBIDDEN)
def test_the_walker_finds(tmp_path: Path, path: str, source: str, reason: str) -> None:
    (line,) = broken(sample(tmp_path, path, source))
    assert line.startswith(f"{PACKAGE}/{path}:")
    assert reason in line
