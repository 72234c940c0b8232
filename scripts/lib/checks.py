"""Runs every check of the project, or pytest alone; tells at the end what failed or was skipped.

    scripts/check                  ruff, mypy, what is generated, the tests without daemons
    scripts/test                   the same and all other tests
    scripts/test unit -k oracle    pytest alone; folders of tests/ first, by their names,
                                   then what pytest takes

TEST_BUDGET_S (default 3000) is how long pytest may take. A process that a check leaves behind is
ended and counts as a failure. When a few tests with real processes fail in `scripts/test`, and
nothing else, they are run once more, alone: those that pass then are told as FLAKY and do not fail
the run. Exit code 0: everything passed; 1: something did not.
"""

from __future__ import annotations

import ctypes
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import IO

GRACE_S = 30.0
SETTLE_S = 3.0
PR_SET_CHILD_SUBREAPER = 36
TESTS_FAILED = 1
RETRIED_MAX = 10
RETRY_LIMIT_S = 900.0
CORES = os.cpu_count() or 2
QUICK = ["unit", "model", "wire"]
PROCESS_TESTS = tuple(f"tests/{name}/" for name in ("cluster", "contract", "deploy", "ha", "rig"))
PYTHON = [sys.executable, "-m"]
STATIC = {
    "ruff check": [*PYTHON, "ruff", "check"],
    "ruff format": [*PYTHON, "ruff", "format", "--check"],
    "mypy": [*PYTHON, "mypy"],
    "generated code": ["scripts/gen-protos", "--check"],
    "architecture": ["scripts/draw-architecture", "--check"],
    "configuration": ["scripts/draw-configuration", "--check"],
    "old and unused": [sys.executable, "scripts/lib/counts.py", "--check"],
    "locks": [sys.executable, "scripts/lib/check_locks.py"],
}


@dataclass
class Step:
    """One check that was run."""

    name: str
    code: int
    took_s: float
    left_behind: list[str] = field(default_factory=list)
    ok: bool = field(init=False)

    def __post_init__(self) -> None:
        self.ok = self.code == 0 and not self.left_behind


@dataclass
class Counts:
    """What became of the tests, by their ids; a reason for skipping names what to install."""

    passed: dict[str, None] = field(default_factory=dict)
    failed: dict[str, None] = field(default_factory=dict)
    flaky: list[str] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)


def run(name: str, argv: list[str], limit_s: float | None = None) -> Step:
    """Run one check in the foreground; past `limit_s` it is interrupted, then ended."""
    print(f"\n== {name}: {shlex.join(argv)}", flush=True)
    began_s = time.monotonic()
    process = start(argv)
    try:
        code = process.wait(limit_s)
    except subprocess.TimeoutExpired:
        print(f"\n{name} took longer than {limit_s:.0f} s", flush=True)
        code = end(process)
    except KeyboardInterrupt:
        end(process)
        raise
    return Step(name, code, time.monotonic() - began_s, end_orphans())


def static() -> list[Step]:
    """Run the static checks side by side; what each of them printed stays together."""
    began_s = time.monotonic()
    took_s: dict[str, float] = {}
    with ExitStack() as stack:
        said = {name: stack.enter_context(tempfile.TemporaryFile("w+")) for name in STATIC}
        running = {name: start(argv, said[name]) for name, argv in STATIC.items()}
        while len(took_s) < len(running):
            for name in running.keys() - took_s.keys():
                if running[name].poll() is not None:
                    took_s[name] = time.monotonic() - began_s
            time.sleep(0.05)
        for name, argv in STATIC.items():
            said[name].seek(0)
            print(f"\n== {name}: {shlex.join(argv)}\n{said[name].read()}", flush=True)
    return [Step(name, each.returncode, took_s[name]) for name, each in running.items()]


def start(argv: list[str], output: IO[str] | None = None) -> subprocess.Popen[bytes]:
    environ = {**os.environ, "PYTHON": sys.executable}
    return subprocess.Popen(argv, env=environ, stdout=output, stderr=output)


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


def pytest_step(name: str, args: list[str], limit_s: float) -> tuple[Step, Counts]:
    """Run pytest with `args`, of which the first may be folders of tests/ by their bare names."""
    folders = list(takewhile(lambda arg: Path("tests", arg, "__init__.py").exists(), args))
    args = [f"tests/{folder}" for folder in folders] + args[len(folders) :]
    with tempfile.TemporaryDirectory() as scratch:
        outcomes = Path(scratch, "outcomes")
        told = ["-p", "testing.outcomes", f"--outcomes={outcomes}"]
        step = run(name, [*PYTHON, "pytest", *told, *args], limit_s)
        return step, read(outcomes)


def read(outcomes: Path) -> Counts:
    """The counts of what `testing/outcomes.py` wrote; a run that failed at once has none."""
    counts = Counts()
    lines = outcomes.read_text().splitlines() if outcomes.exists() else []
    for line in map(json.loads, lines):
        if line["outcome"] == "failed":
            counts.failed[line["test"]] = None
        elif line["outcome"] == "skipped":
            counts.skipped[line["why"]] += 1
        else:
            counts.passed[line["test"]] = None
    for test in counts.failed:
        counts.passed.pop(test, None)
    return counts


def may_be_chance(failed: Collection[str]) -> bool:
    """Whether a second run may tell: a few tests failed, all of them with real processes."""
    return 0 < len(failed) <= RETRIED_MAX and all(
        test.startswith(PROCESS_TESTS) and "::" in test for test in failed
    )


def retried(step: Step, counts: Counts) -> tuple[Step, Counts]:
    """Run what failed once more, alone; what passes then is flaky, and the step is ok without it.

    A step that failed in another way (a crash, a process left behind) stays failed.
    """
    if step.code != TESTS_FAILED or step.left_behind or not may_be_chance(counts.failed):
        return step, counts
    again, second = pytest_step("pytest again", list(counts.failed), RETRY_LIMIT_S)
    for test in second.passed:
        counts.failed.pop(test, None)
        counts.flaky.append(test)
    step.ok = again.ok and not counts.failed
    step.took_s += again.took_s
    return step, counts


def summarise(steps: list[Step], counts: Counts) -> None:
    print("\n== summary")
    for step in steps:
        print(f"{'ok    ' if step.ok else 'FAILED'}  {step.name:<16} {step.took_s:7.1f} s")
        for line in step.left_behind:
            print(f"        left a process behind, ended now: {line}")
    for reason, times in counts.skipped.most_common():
        print(f"skipped {times:>3}x: {reason}")
    for test in counts.failed:
        print(f"FAILED  {test}")
    for test in counts.flaky:
        print(f"FLAKY   {test}: failed, then passed alone; a defect to mend")
    print(
        f"tests: {len(counts.passed)} passed, {len(counts.failed)} failed, "
        f"{len(counts.flaky)} flaky, {counts.skipped.total()} skipped"
    )


def everything(budget_s: float) -> tuple[list[Step], Counts]:
    """All checks, and all tests on one worker more than there are cores: most of them wait."""
    steps = static()
    workers = f"-n{CORES + 1}"
    step, counts = retried(*pytest_step("pytest", [workers, "--durations=10"], budget_s))
    return [*steps, step], counts


def quick(budget_s: float) -> tuple[list[Step], Counts]:
    """The static checks, and the tests that start no daemon, a worker a core."""
    steps = static()
    step, counts = pytest_step("pytest", [*QUICK, f"-n{CORES}", "--durations=5"], budget_s)
    return [*steps, step], counts


def main(args: list[str]) -> int:
    if args[:1] in (["-h"], ["--help"]):
        print(__doc__)
        return 0
    hear_interrupts()
    adopt_orphans()
    budget_s = float(os.environ.get("TEST_BUDGET_S", "3000"))
    if args == ["--quick"]:
        steps, counts = quick(budget_s)
    elif args:
        step, counts = pytest_step("pytest", args, budget_s)
        steps = [step]
    else:
        steps, counts = everything(budget_s)
    summarise(steps, counts)
    return 0 if all(step.ok for step in steps) else 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        end_orphans()
        sys.exit(130)
