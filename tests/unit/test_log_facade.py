"""The facade every module imports: callers, context, levels, odd names."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator

import pytest

from milvus_coord.telemetry.log import DEBUG, ERROR, log, pipeline
from milvus_coord.telemetry.logformat import encode_text
from milvus_coord.telemetry.logsinks import StdoutSink


class Kept:
    """A sink that keeps its lines, or loses them while `broken`."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.broken = False

    def write(self, line: str) -> bool:
        if not self.broken:
            self.lines.append(line.rstrip("\n"))
        return not self.broken

    def reopen(self) -> None: ...

    def close(self) -> None: ...


@pytest.fixture
def kept() -> Iterator[Kept]:
    sink = Kept()
    pipeline.switch(encode_text, [sink])
    log.floor = DEBUG
    yield sink
    log.floor = DEBUG
    pipeline.switch(encode_text, [StdoutSink()])


def tails(kept: Kept) -> list[str]:
    """What follows the caller in each line."""
    return [re.sub(r"^(\[[^]]*\] ){3}", "", each) for each in kept.lines]


def test_unconfigured_log_is_debug_text_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    log.debug("first words", n=1)
    pattern = (
        r"\[\d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{3} [+-]\d\d:\d\d\] \[DEBUG\] "
        r'\[unit/test_log_facade\.py:\d+\] \["first words"\] \[n=1\]\n'
    )
    assert re.fullmatch(pattern, capsys.readouterr().out)


def test_levels_have_milvus_names(kept: Kept) -> None:
    for say in (log.debug, log.info, log.warn, log.error, log.fatal):
        say("m")
    levels = [each.split("] [")[1] for each in kept.lines]
    assert levels == ["DEBUG", "INFO", "WARN", "ERROR", "FATAL"]


def test_filtered_lines_do_not_even_look_at_their_fields(kept: Kept) -> None:
    class Untouchable:
        def __str__(self) -> str:
            raise AssertionError("asked")

    log.floor = ERROR
    log.debug("m", value=Untouchable())
    log.warn("m", value=Untouchable())
    log.error("m")
    assert tails(kept) == ["[m]"]


def test_braces_tags_and_odd_names_are_just_text(kept: Kept) -> None:
    log.info("{x} <red> %s {", x=1, self=2, message=3, **{"event type": 5})
    assert tails(kept) == ['["{x} <red> %s {"] [x=1] [self=2] [message=3] ["event type"=5]']


async def test_context_is_inherited_by_tasks_and_ends(kept: Kept) -> None:
    async def child() -> None:
        log.info("child", n=1)

    async def parent(role: str) -> None:
        with log.context(role=role):
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(child())
        log.info("after")

    async with asyncio.TaskGroup() as both:
        both.create_task(parent("rootcoord"))
        both.create_task(parent("datacoord"))
    assert sorted(tails(kept)) == [
        "[after]",
        "[after]",
        "[child] [n=1] [role=datacoord]",
        "[child] [n=1] [role=rootcoord]",
    ]


def test_lines_of_many_threads_stay_whole(kept: Kept) -> None:
    def talk(name: int) -> None:
        for n in range(50):
            log.info("talk", name=name, n=n)

    threads = [threading.Thread(target=talk, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wanted = {f"[talk] [name={name}] [n={n}]" for name in range(4) for n in range(50)}
    assert len(kept.lines) == 200
    assert set(tails(kept)) == wanted


def test_lost_lines_are_counted_and_told(kept: Kept) -> None:
    log.info("one")
    kept.broken = True
    for _ in range(3):
        log.info("lost")
    kept.broken = False
    log.info("two")
    log.info("three")
    assert tails(kept) == ["[one]", '["log lines were lost"] [lines=3]', "[two]", "[three]"]
