"""Failpoints: unarmed they do nothing; armed they do what they say, the time they say."""

from __future__ import annotations

import ast
import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import milvus_coord
from milvus_coord.runtime.failpoints import (
    KNOWN,
    VARIABLE,
    Action,
    BadFailpoints,
    check,
    failpoint,
    parse,
)

ROOT = Path(__file__).parents[2]
PASS_TWICE = """
import asyncio, sys
from milvus_coord.runtime.failpoints import check, failpoint, FailpointError
check()
async def main():
    for number in (1, 2):
        try:
            await failpoint("after_claim")
            await failpoint("after_serve")
        except FailpointError as error:
            print(error)
        print("passed", number, flush=True)
asyncio.run(main())
"""


def run(armed: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PASS_TWICE],
        env={"PYTHONPATH": str(ROOT), VARIABLE: armed},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


async def test_unarmed() -> None:
    check()
    for name in KNOWN:
        await failpoint(name)


def test_parse() -> None:
    armed = parse(" after_claim=crash; after_serve=pause:250@2 ;")
    assert (armed["after_claim"].action, armed["after_claim"].only) == (Action.CRASH, 0)
    later = armed["after_serve"]
    assert (later.action, later.pause_ms, later.only) == (Action.PAUSE, 250, 2)
    assert [later.fires() for _ in range(3)] == [False, True, False]
    assert parse("") == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("after_claim", "is not NAME=ACTION"),
        ("after_claim=explode", "is not NAME=ACTION"),
        ("after_claim=crash@0", "is not NAME=ACTION"),
        ("after_claim=pause", "is not NAME=ACTION"),
        ("after_clam=crash", "no failpoint 'after_clam', only before_replace, "),
        ("after_claim=crash;after_claim=stop", "named twice"),
    ],
)
def test_what_cannot_be_read_is_a_start_error(text: str, words: str) -> None:
    with pytest.raises(BadFailpoints, match=words):
        parse(text)
    ended = run(text)
    assert ended.returncode == 1
    assert words in ended.stderr


def test_crash_the_second_time() -> None:
    ended = run("after_claim=crash@2")
    assert (ended.returncode, ended.stdout.count("passed")) == (-signal.SIGKILL, 1)


def test_error_each_time() -> None:
    ended = run("after_serve=error")
    assert ended.stdout.count("failpoint after_serve") == 2
    assert "passed 2" in ended.stdout


@pytest.mark.parametrize("name", ["after_claim", "after_serve"])
def test_pause(name: str) -> None:
    began = time.monotonic()
    assert "passed 2" in run(f"{name}=pause:300@1").stdout
    assert time.monotonic() - began > 0.3


async def test_stop() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PASS_TWICE,
        env={"PYTHONPATH": str(ROOT), VARIABLE: "after_serve=stop@2"},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(10):
        while await process.stdout.readline() != b"passed 1\n":
            pass
        while not stopped(process.pid):
            await asyncio.sleep(0.005)
        os.kill(process.pid, signal.SIGCONT)
        assert await process.wait() == 0


def stopped(pid: int) -> bool:
    return "\nState:\tT" in Path(f"/proc/{pid}/status").read_text()


def test_every_failpoint_in_the_code_is_known() -> None:
    placed = set()
    for path in Path(milvus_coord.__path__[0]).rglob("*.py"):
        text = path.read_text()
        if "failpoint" not in text or path.name == "failpoints.py":
            continue
        for node in ast.walk(ast.parse(text)):
            match node:
                case ast.Call(ast.Name("failpoint"), [ast.Constant(name)]):
                    placed.add(name)
    assert placed <= set(KNOWN), placed - set(KNOWN)
    assert placed >= {name for name in KNOWN if name.startswith(("ddl_", "parts_"))}
