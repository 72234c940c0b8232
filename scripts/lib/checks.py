"""Runs every check of the project, or pytest alone; tells at the end what failed or was skipped.

    scripts/test                   ruff, mypy, the generated code, then all tests
    scripts/test unit -k oracle    pytest alone; folders of tests/ first, by their names,
                                   then what pytest takes

TEST_BUDGET_S (default 3000) is how long pytest may take. A process that a check leaves behind is
ended and counts as a failure. Exit code 0: everything passed; 1: something did not.
"""

from __future__ import annotations

import ctypes
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

GRACE_S = 30.0
SETTLE_S = 3.0
PR_SET_CHILD_SUBREAPER = 36
PYTHON = [sys.executable, "-m"]
STATIC = {
    "ruff check": [*PYTHON, "ruff", "check"],
    "ruff format": [*PYTHON, "ruff", "format", "--check"],
    "mypy": [*PYTHON, "mypy"],
    "generated code": ["scripts/gen-protos", "--check"],
    "locks": [sys.executable, "scripts/lib/check_locks.py"],
}


@dataclass
class Step:
    """One check that was run."""

    name: str
    ok: bool
    took_s: float
    left_behind: list[str] = field(default_factory=list)


@dataclass
class Counts:
    """What the tests' report says; a reason for skipping names what to install."""

    passed: int = 0
    failed: int = 0
    skipped: Counter[str] = field(default_factory=Counter)


def run(name: str, argv: list[str], limit_s: float | None = None) -> Step:
    """Run one check in the foreground; past `limit_s` it is interrupted, then ended."""
    print(f"\n== {name}: {shlex.join(argv)}", flush=True)
    began_s = time.monotonic()
    process = subprocess.Popen(argv, env={**os.environ, "PYTHON": sys.executable})
    try:
        code = process.wait(limit_s)
    except subprocess.TimeoutExpired:
        print(f"\n{name} took longer than {limit_s:.0f} s", flush=True)
        code = end(process)
    except KeyboardInterrupt:
        end(process)
        raise
    left_behind = end_orphans()
    ok = code == 0 and not left_behind
    return Step(name, ok, time.monotonic() - began_s, left_behind)


def end(process: subprocess.Popen[bytes]) -> int:
    """Interrupt, so that tests can clean up behind themselves; kill when that takes too long."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    return 1


def hear_interrupts() -> None:
    """A shell lets what it puts into the background ignore SIGINT, and so all that it starts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, sessions of its own or not."""
    if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        print("no subreaper here: processes left behind go unnoticed")


def end_orphans() -> list[str]:
    """End what a check left running, after a moment to end by itself, and tell what it was."""
    found: dict[int, str] = {}
    deadline_s = time.monotonic() + SETTLE_S
    while pids := children():
        if time.monotonic() > deadline_s:
            for pid in pids:
                found[pid] = command_line(pid)
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    return list(found.values())


def children() -> list[int]:
    """The pids of our living children; the dead ones are reaped."""
    alive = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == os.getpid() and os.waitpid(int(entry.name), os.WNOHANG) == (0, 0):
            alive.append(int(entry.name))
    return alive


def command_line(pid: int) -> str:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    return f"pid {pid}: {' '.join(words)[:200]}"


def pytest_step(args: list[str]) -> tuple[Step, Counts]:
    """Run pytest with `args`, of which the first may be folders of tests/ by their bare names."""
    folders = list(takewhile(lambda arg: Path("tests", arg, "__init__.py").exists(), args))
    args = [f"tests/{folder}" for folder in folders] + args[len(folders) :]
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch, "report.xml")
        argv = [*PYTHON, "pytest", "--durations=5", f"--junitxml={report}", *args]
        step = run("pytest", argv, float(os.environ.get("TEST_BUDGET_S", "3000")))
        return step, read(report)


def read(report: Path) -> Counts:
    """The counts in a JUnit report; a run that was killed has none."""
    counts = Counts()
    if not report.exists():
        return counts
    for case in ET.parse(report).iter("testcase"):
        outcome = {child.tag: child for child in case}
        if "failure" in outcome or "error" in outcome:
            counts.failed += 1
        elif "skipped" in outcome and outcome["skipped"].get("type") == "pytest.skip":
            counts.skipped[outcome["skipped"].get("message", "")] += 1
        else:
            counts.passed += 1
    return counts


def summarise(steps: list[Step], counts: Counts) -> None:
    print("\n== summary")
    for step in steps:
        print(f"{'ok    ' if step.ok else 'FAILED'}  {step.name:<16} {step.took_s:7.1f} s")
        for line in step.left_behind:
            print(f"        left a process behind, ended now: {line}")
    for reason, times in counts.skipped.most_common():
        print(f"skipped {times:>3}x: {reason}")
    total = counts.skipped.total()
    print(f"tests: {counts.passed} passed, {counts.failed} failed, {total} skipped")


def main(args: list[str]) -> int:
    if args[:1] in (["-h"], ["--help"]):
        print(__doc__)
        return 0
    hear_interrupts()
    adopt_orphans()
    steps = [] if args else [run(name, argv) for name, argv in STATIC.items()]
    step, counts = pytest_step(args)
    steps.append(step)
    summarise(steps, counts)
    return 0 if all(step.ok for step in steps) else 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        end_orphans()
        sys.exit(130)
