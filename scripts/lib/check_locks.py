"""Tells whether requirements/*.lock still fit pyproject.toml; exit code 1 and a line a misfit."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = "milvus-coord"
# Each lock with the extra that it was made for.
LOCKS = {"dev.lock": "dev", "runtime.lock": "image", "demo.lock": "demo"}
PIN = re.compile(r"(?P<name>[\w.-]+)==(?P<version>[^\s;]+)(?P<rest>.*)")


def requirements(project: dict[str, object], extra: str) -> Iterator[Requirement]:
    """What the project and one extra ask for, the extras that it names included."""
    groups = project["optional-dependencies"]
    assert isinstance(groups, dict)
    dependencies = project["dependencies"]
    assert isinstance(dependencies, list)
    yield from map(Requirement, dependencies)
    wanted = [extra]
    for name in wanted:
        for requirement in map(Requirement, groups[name]):
            if requirement.name == PROJECT:
                wanted += requirement.extras - set(wanted)
            else:
                yield requirement


def misfits(lock: str, wanted: Iterable[Requirement]) -> Iterator[str]:
    """What is wrong with the text of a lock, sentence by sentence."""
    pins = {canonicalize_name(pin["name"]): pin["version"] for pin in PIN.finditer(lock)}
    for requirement in wanted:
        version = pins.get(canonicalize_name(requirement.name))
        if version is None:
            yield f"{requirement} is not pinned"
        elif not requirement.specifier.contains(version, prereleases=True):
            yield f"{requirement} is pinned to {version}"
    for block in re.split(r"\n(?=\S)", lock):
        if "--hash=" not in block:
            yield f"no hash in {block.splitlines()[0]!r}"
    for line in lock.splitlines():
        if "://" in line or line.startswith("-"):
            yield f"an address or an option: {line!r}"


def main(root: Path) -> int:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    locks = {name: (root / "requirements" / name).read_text() for name in LOCKS}
    wrong = [
        f"{name}: {misfit}"
        for name, extra in LOCKS.items()
        for misfit in misfits(locks[name], requirements(project, extra))
    ]
    pinned = {
        name: {pin[0].split(";")[0].strip(" \\") for pin in PIN.finditer(text)}
        for name, text in locks.items()
    }
    wrong += [
        f"{name}: {pin} is not what dev.lock has"
        for name in LOCKS
        for pin in sorted(pinned[name] - pinned["dev.lock"])
    ]
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
