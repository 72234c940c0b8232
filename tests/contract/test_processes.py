"""The proof that a process has ended: real ones, killed, gone, undead, replaced, foreign."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import uvloop

from milvus_coord.runtime import processes
from milvus_coord.runtime.processes import (
    CannotWatch,
    ProcessIdentity,
    outlive,
    outlive_pid,
)

Run: TypeAlias = Callable[[Coroutine[Any, Any, None]], None]

TELL = (
    "from milvus_coord.runtime.processes import ProcessIdentity; import json, os, sys, threading;"
    "print(json.dumps(ProcessIdentity.mine().fields()), flush=True);"
)
WAIT = TELL + "sys.stdin.read()"
# The first thread ends by the system call exit, which leaves the others alone.
LEADER_ENDS = (
    TELL
    + "t = threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0))); t.start();"
    + "import ctypes; ctypes.CDLL(None).syscall(60 if os.uname().machine == 'x86_64' else 93, 0)"
)


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine on either kind of loop, five seconds at most."""

    def run(work: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(asyncio.wait_for(work, 5))

    return run


class Child:
    """A process that says who it is, and ends with its standard input."""

    def __init__(self, program: str = WAIT) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self.process.stdout is not None
        identity = ProcessIdentity.from_fields(json.loads(self.process.stdout.readline()))
        assert identity is not None
        self.identity = identity

    @property
    def state(self) -> str:
        text = Path(f"/proc/{self.process.pid}/stat").read_text()
        return text.rpartition(")")[2].split()[0]

    def wait_state(self, state: str) -> None:
        while self.state != state:
            pass

    def let_end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def kill(self) -> None:
        """SIGKILL, and leave a zombie."""
        os.kill(self.process.pid, signal.SIGKILL)
        os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT)

    def close(self) -> None:
        self.let_end()
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def child() -> Iterator[Child]:
    child = Child()
    yield child
    child.close()


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def ended_by(child: Child, end: Callable[[], None]) -> None:
    """`outlive` waits while the child lives, and returns when `end` has ended it."""
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(outlive(child.identity), name="outlive")
        for _ in range(20):
            await asyncio.sleep(0)
        assert not watching.done()
        end()
        await watching


def test_an_identity_is_that_of_this_process() -> None:
    mine = ProcessIdentity.mine()
    assert mine is not None
    assert mine.pid == os.getpid()
    assert f"pid:[{mine.pid_namespace}]" == str(Path("/proc/self/ns/pid").readlink())
    assert mine.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert mine.is_here()
    assert ProcessIdentity.from_fields(mine.fields()) == mine


def test_the_command_may_hold_parentheses_and_blanks(tmp_path: Path) -> None:
    link = tmp_path / ") S 1 (x"
    link.symlink_to(sys.executable)
    process = subprocess.Popen([link, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        plain = processes._start_ticks(os.getpid())
        told = processes._start_ticks(process.pid)
        assert plain is not None
        assert told is not None
        assert told >= plain
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    "fields",
    [
        None,
        [],
        "boot",
        {},
        {"boot": "b", "pidns": 1, "pid": 2},
        {"boot": "", "pidns": 1, "pid": 2, "start": 3},
        {"boot": 1, "pidns": 1, "pid": 2, "start": 3},
        {"boot": "b", "pidns": 1, "pid": 0, "start": 3},
        {"boot": "b", "pidns": 1, "pid": -1, "start": 3},
        {"boot": "b", "pidns": 1, "pid": True, "start": 3},
        {"boot": "b", "pidns": 1, "pid": 2.0, "start": 3},
        {"boot": "b", "pidns": 1, "pid": "2", "start": 3},
        {"boot": "b", "pidns": 1, "pid": 2**31, "start": 3},
        {"boot": "b", "pidns": None, "pid": 2, "start": 3},
        {"boot": "b", "pidns": 1, "pid": 2, "start": -3},
    ],
)
def test_malformed_fields_are_nobody(fields: object) -> None:
    assert ProcessIdentity.from_fields(fields) is None


def test_fields_that_we_do_not_know_do_no_harm() -> None:
    fields = {"boot": "b", "pidns": 1, "pid": 2, "start": 3, "more": 4}
    assert ProcessIdentity.from_fields(fields) == ProcessIdentity("b", 1, 2, 3)


def test_sigkill_ends_the_wait_before_anybody_has_reaped(run: Run, child: Child) -> None:
    run(ended_by(child, lambda: os.kill(child.process.pid, signal.SIGKILL)))
    assert child.state == "Z"


def test_an_exit_ends_the_wait(run: Run, child: Child) -> None:
    run(ended_by(child, child.let_end))


def test_an_end_that_was_reaped_is_proof(run: Run, child: Child) -> None:
    child.kill()
    child.process.wait()
    run(outlive(child.identity))


def test_a_zombie_is_dead(run: Run, child: Child) -> None:
    child.kill()
    assert child.state == "Z"
    run(outlive(child.identity))


def test_a_stopped_process_lives(run: Run, child: Child) -> None:
    os.kill(child.process.pid, signal.SIGSTOP)
    child.wait_state("T")
    run(ended_by(child, lambda: os.kill(child.process.pid, signal.SIGKILL)))


def test_a_process_whose_first_thread_alone_has_ended_lives(run: Run) -> None:
    child = Child(LEADER_ENDS)
    try:
        child.wait_state("Z")
        run(ended_by(child, child.let_end))
    finally:
        child.close()


def test_a_number_that_was_given_away_is_proof(run: Run, child: Child) -> None:
    former = replace(child.identity, start_ticks=child.identity.start_ticks - 1)
    run(outlive(former))


def test_a_number_that_is_a_thread_s_now_is_proof(run: Run) -> None:
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        mine = ProcessIdentity.mine()
        assert mine is not None
        assert thread.native_id is not None
        former = replace(mine, pid=thread.native_id, start_ticks=mine.start_ticks - 1)
        run(outlive(former))
    finally:
        done.set()
        thread.join()


def test_processes_of_elsewhere_are_not_ours_to_judge(run: Run, child: Child) -> None:
    child.kill()
    for foreign in (
        replace(child.identity, boot_id="00000000-0000-0000-0000-000000000000"),
        replace(child.identity, pid_namespace=child.identity.pid_namespace + 1),
    ):
        with pytest.raises(CannotWatch, match="another machine or in another namespace"):
            run(outlive(foreign))


@pytest.mark.parametrize("trouble", [PermissionError(1, "no"), OSError(38, "Function missing")])
def test_without_pidfd_nothing_is_watched(
    run: Run, child: Child, monkeypatch: pytest.MonkeyPatch, trouble: OSError
) -> None:
    def refuse(pid: int, flags: int = 0) -> int:
        raise trouble

    monkeypatch.setattr(os, "pidfd_open", refuse)
    with pytest.raises(CannotWatch, match=f"no pidfd for process {child.process.pid}"):
        run(outlive(child.identity))


def test_a_python_without_pidfd_says_so(
    run: Run, child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    with pytest.raises(CannotWatch, match="built without pidfd"):
        run(outlive(child.identity))


def test_a_process_of_another_user_is_watched_and_lives(run: Run, child: Child) -> None:
    """As nobody, who may not even signal it."""
    if os.getuid() != 0:
        pytest.skip("only root can become somebody else")

    def as_nobody() -> None:
        os.setresuid(65534, 65534, 0)
        try:
            with pytest.raises(PermissionError):
                os.kill(child.process.pid, 0)
        finally:
            os.setresuid(0, 0, 0)
        child.process.kill()

    run(ended_by(child, as_nobody))


def test_shifted_time_tells_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In a time namespace the same process has another start time."""
    proc = tmp_path / "proc"
    (proc / "self").mkdir(parents=True)
    offsets = proc / "self/timens_offsets"
    monkeypatch.setattr(processes, "_PROC", proc)
    assert not processes._time_is_shifted()
    offsets.write_text("monotonic           0         0\nboottime            0         0\n")
    assert not processes._time_is_shifted()
    offsets.write_text("monotonic           0         0\nboottime         86400         0\n")
    assert processes._time_is_shifted()


def test_the_machine_of_another_proc_is_not_ours(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, child: Child
) -> None:
    """A container that was given the host's /proc, whose numbers mean other processes."""
    proc = tmp_path / "proc"
    proc.mkdir()
    for name in os.listdir("/proc"):
        if name != "self":
            (proc / name).symlink_to(f"/proc/{name}")
    (proc / "self").symlink_to("1" if os.getpid() != 1 else "2")
    monkeypatch.setattr(processes, "_PROC", proc)
    assert ProcessIdentity.mine() is None


def test_a_process_without_a_record(run: Run, child: Child) -> None:
    pid, asked = child.process.pid, []

    def still_it() -> bool:
        asked.append(pid)
        return True

    async def scene() -> None:
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(outlive_pid(pid, still_it), name="outlive")
            await asyncio.sleep(0)
            assert asked == [pid]
            assert not watching.done()
            child.kill()

    run(scene())
    child.process.wait()
    run(outlive_pid(pid, still_it))
    assert asked == [pid]  # nobody there to ask about


def test_a_process_that_is_not_recognised_proves_nothing(run: Run, child: Child) -> None:
    async def scene() -> None:
        before = open_descriptors()
        with pytest.raises(CannotWatch, match=f"process {child.process.pid} is not the one"):
            await outlive_pid(child.process.pid, lambda: False)
        assert open_descriptors() == before

    run(scene())


@pytest.mark.parametrize("pid", [0, -1])
def test_what_is_no_number_of_a_process_is_never_dead(run: Run, pid: int) -> None:
    with pytest.raises(ValueError, match="is not the number of a process"):
        run(outlive_pid(pid, lambda: True))


def test_thousands_of_watches_leave_no_descriptor(run: Run, child: Child) -> None:
    async def watch_and_give_up() -> None:
        before = open_descriptors()
        watches = [asyncio.create_task(outlive(child.identity)) for _ in range(20)]
        await asyncio.sleep(0)
        assert open_descriptors() == before + 20
        for watch in watches:
            watch.cancel()
        await asyncio.wait(watches)
        assert all(watch.cancelled() for watch in watches)
        assert open_descriptors() == before

    async def scene() -> None:
        outlast = asyncio.create_task(outlive(child.identity))
        await asyncio.sleep(0)
        for _ in range(150):
            await watch_and_give_up()
        assert not outlast.done()
        before = open_descriptors()
        watches = [asyncio.create_task(outlive(child.identity)) for _ in range(100)]
        await asyncio.sleep(0)
        child.kill()
        await asyncio.gather(*watches, outlast)
        assert open_descriptors() == before - 1

    run(scene())


def test_an_error_of_the_question_closes_the_descriptor(run: Run, child: Child) -> None:
    def still_it() -> bool:
        raise LookupError("asked in vain")

    async def scene() -> None:
        before = open_descriptors()
        with pytest.raises(LookupError, match="in vain"):
            await outlive_pid(child.process.pid, still_it)
        assert open_descriptors() == before

    run(scene())
