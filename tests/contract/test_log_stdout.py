"""Standard output that is closed, broken, stalled or full costs lines, never the process."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

TALKER: Final = """
import sys
from milvus_coord.telemetry.log import log
for order in sys.stdin:
    for n in range(int(order)):
        log.info("line", n=n, pad="x" * 200)
    print("done", file=sys.stderr, flush=True)
"""


def talker(stdout: int | None, shell: str = "") -> subprocess.Popen[str]:
    """A process that logs as many lines as each line of its stdin says, then says done."""
    command = [sys.executable, "-c", TALKER]
    if shell:
        command = ["/bin/sh", "-c", f'exec "$@" {shell}', "sh", *command]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=stdout, stderr=subprocess.PIPE, text=True
    )


def order(process: subprocess.Popen[str], count: int) -> None:
    """Have `count` lines logged and wait until that is over."""
    assert process.stdin is not None
    assert process.stderr is not None
    process.stdin.write(f"{count}\n")
    process.stdin.flush()
    assert process.stderr.readline() == "done\n"


def finish(process: subprocess.Popen[str]) -> None:
    _, errors = process.communicate(timeout=10)
    assert errors == ""
    assert process.returncode == 0


def drain(fd: int) -> bytes:
    taken = b""
    while select.select([fd], [], [], 0)[0] and (data := os.read(fd, 1 << 16)):
        taken += data
    return taken


def test_a_reader_that_went_away_kills_nothing() -> None:
    reader, writer = os.pipe()
    process = talker(writer)
    os.close(writer)
    order(process, 1)
    assert b"n=0" in drain(reader)
    os.close(reader)
    order(process, 3)
    order(process, 3)
    finish(process)


def test_stdout_closed_from_the_start_kills_nothing(tmp_path: Path) -> None:
    process = talker(None, shell=">&-")
    order(process, 3)
    finish(process)


def test_a_full_disk_kills_nothing() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with Path("/dev/full").open("w") as full:
        process = talker(full.fileno())
    order(process, 3)
    finish(process)


def test_a_stalled_reader_does_not_stall_the_process() -> None:
    reader, writer = os.pipe()
    process = talker(writer)
    os.close(writer)
    order(process, 2000)  # far more than the pipe takes, and nobody reads
    early = drain(reader)
    order(process, 1)
    late = drain(reader)
    os.close(reader)
    finish(process)
    lines = (early + late).decode().splitlines()
    assert lines[-1].split("] [")[3:5] == ["line", "n=0"]
    notices = [each for each in lines if "log lines were lost" in each]
    whole = [each for each in lines if each.endswith("x]")]
    assert len(notices) == 1
    lost = int(notices[0].rpartition("[lines=")[2].rstrip("]"))
    assert lost + len(whole) == 2001


def test_a_line_larger_than_the_pipe_arrives_whole() -> None:
    code = """
from milvus_coord.telemetry.log import log, pipeline
from milvus_coord.telemetry.logformat import encode_text
from milvus_coord.telemetry.logsinks import StdoutSink
pipeline.switch(encode_text, [StdoutSink(patience_ms=10_000)])
log.info("big", pad="x" * 300_000)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True
    )
    assert done.stdout.count("x") == 300_000
    assert done.stdout.endswith("x]\n")


def test_a_full_disk_loses_lines_of_a_file_and_mends_the_torn_one(tmp_path: Path) -> None:
    code = f"""
import resource, signal
from milvus_coord.telemetry.logfile import LogFile, RotatingFile
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
sink = RotatingFile(LogFile({str(tmp_path)!r}, "a.log", 1, 0, 0))
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (6, hard))
print([sink.write("one\\n"), sink.write("two\\n"), sink.write("three\\n")])
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
print(sink.write("four\\n"))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True
    )
    assert done.stdout == "[True, False, False]\nTrue\n"
    assert (tmp_path / "a.log").read_text() == "one\ntw\nfour\n"
