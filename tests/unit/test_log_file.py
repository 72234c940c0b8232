"""The log file: rotation by size, pruning by age and count, files moved away, full disks."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from milvus_coord.telemetry.logfile import RotatingFile
from testing.logs import log_file

MIB: Final = 1024 * 1024
HALF: Final = "x" * (MIB // 2 - 1) + "\n"


class Wall:
    """A wall clock that stands until moved."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 23, 5, 38, 37, 301_000)

    def __call__(self) -> datetime:
        return self.time


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def test_makes_its_folder_and_appends(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    for line in ("one\n", "zwei ö\n"):
        sink = RotatingFile(log_file(folder, "rootcoord-19.log"))
        assert sink.write(line)
        sink.close()
    assert (folder / "rootcoord-19.log").read_text("utf-8") == "one\nzwei ö\n"


def test_rotates_before_the_line_that_would_not_fit(tmp_path: Path) -> None:
    wall = Wall()
    sink = RotatingFile(log_file(tmp_path, "rootcoord-19.log", max_size_mb=1), now=wall)
    for _ in range(2):
        assert sink.write(HALF)
    assert names(tmp_path) == ["rootcoord-19.log"]
    assert sink.write("next\n")
    sink.close()
    backup = tmp_path / "rootcoord-19-2026-11-23T05-38-37.301.log"
    assert names(tmp_path) == [backup.name, "rootcoord-19.log"]
    assert backup.stat().st_size == MIB
    assert (tmp_path / "rootcoord-19.log").read_text() == "next\n"


def test_backups_of_the_same_moment_do_not_replace_each_other(tmp_path: Path) -> None:
    sink = RotatingFile(log_file(tmp_path, "a.log", max_size_mb=1), now=Wall())
    for _ in range(6):
        assert sink.write(HALF)
    sink.close()
    assert names(tmp_path) == [
        "a-2026-11-23T05-38-37.301.log",
        "a-2026-11-23T05-38-37.302.log",
        "a.log",
    ]


def test_a_file_already_full_is_rotated_at_the_first_line(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(HALF * 2)
    sink = RotatingFile(log_file(tmp_path, "a.log", max_size_mb=1), now=Wall())
    assert sink.write("new\n")
    sink.close()
    assert (tmp_path / "a.log").read_text() == "new\n"
    assert (tmp_path / "a-2026-11-23T05-38-37.301.log").stat().st_size == MIB


def test_keeps_the_newest_backups_and_nothing_of_others(tmp_path: Path) -> None:
    foreign = ["a-notes.log", "b-2026-11-01T00-00-00.000.log", "a-2026-13-01T00-00-00.000.log"]
    for each in foreign:
        (tmp_path / each).touch()
    wall = Wall()
    file = log_file(tmp_path, "a.log", max_size_mb=1, max_backups=2, max_age_days=0)
    sink = RotatingFile(file, now=wall)
    for _ in range(8):
        wall.time += timedelta(hours=1)
        assert sink.write(HALF)
    sink.close()
    kept = [each for each in names(tmp_path) if each not in foreign]
    assert kept == [
        "a-2026-11-23T10-38-37.301.log",
        "a-2026-11-23T12-38-37.301.log",
        "a.log",
    ]
    assert set(foreign) < set(names(tmp_path))


def test_prunes_what_is_too_old(tmp_path: Path) -> None:
    for stamp in ("2026-11-13T05-38-37.300", "2026-11-13T05-38-37.302"):
        (tmp_path / f"a-{stamp}.log").touch()
    RotatingFile(log_file(tmp_path, "a.log", max_age_days=10), now=Wall()).close()
    assert names(tmp_path) == ["a-2026-11-13T05-38-37.302.log", "a.log"]


def test_moved_away_it_is_written_on_until_reopened(tmp_path: Path) -> None:
    sink = RotatingFile(log_file(tmp_path, "a.log"))
    assert sink.write("one\n")
    (tmp_path / "a.log").rename(tmp_path / "a.log.1")
    assert sink.write("two\n")
    sink.reopen()
    assert sink.write("three\n")
    sink.close()
    assert (tmp_path / "a.log.1").read_text() == "one\ntwo\n"
    assert (tmp_path / "a.log").read_text() == "three\n"


def test_moved_away_and_full_it_starts_anew_and_leaves_the_moved_one(tmp_path: Path) -> None:
    sink = RotatingFile(log_file(tmp_path, "a.log", max_size_mb=1))
    for _ in range(2):
        assert sink.write(HALF)
    (tmp_path / "a.log").rename(tmp_path / "mine")
    assert sink.write("next\n")
    sink.close()
    assert names(tmp_path) == ["a.log", "mine"]
    assert (tmp_path / "a.log").read_text() == "next\n"


def test_a_folder_that_vanished_is_made_again_by_reopen(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    sink = RotatingFile(log_file(folder, "a.log"))
    (folder / "a.log").unlink()
    folder.rmdir()
    assert sink.write("into nothing\n")
    sink.reopen()
    assert sink.write("here\n")
    sink.close()
    assert (folder / "a.log").read_text() == "here\n"


def test_a_rotation_that_fails_writes_on(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    sink = RotatingFile(log_file(folder, "a.log", max_size_mb=1))
    for _ in range(2):
        assert sink.write(HALF)
    folder.rename(tmp_path / "elsewhere")
    folder.touch()  # a file where the folder was: nothing can be opened there
    assert sink.write("kept\n")
    sink.close()
    assert (tmp_path / "elsewhere" / "a.log").read_text().endswith("\nkept\n")


def test_the_error_names_what_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    with pytest.raises(OSError, match=r"cannot write the log file: .*plain/sub/a\.log"):
        RotatingFile(log_file(tmp_path / "plain" / "sub", "a.log"))
    with pytest.raises(OSError, match=r"cannot write the log file: .*/proc/nowhere/a\.log"):
        RotatingFile(log_file("/proc/nowhere", "a.log"))


@pytest.mark.parametrize(
    "wrong",
    [{"name": ""}, {"name": "a/b"}, {"root_path": ""}, {"max_size_mb": 0}, {"max_backups": -1}],
)
def test_settings_that_make_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="log file"):
        replace(log_file("/var/log", "a.log"), **wrong)


def test_no_descriptor_is_left_behind(tmp_path: Path) -> None:
    def count() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = count()
    sink = RotatingFile(log_file(tmp_path, "a.log", max_size_mb=1))
    for _ in range(10):
        assert sink.write(HALF)
        sink.reopen()
    sink.close()
    assert not sink.write("late\n")
    assert count() == before
