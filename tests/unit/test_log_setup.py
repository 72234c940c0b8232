"""Configuring the log: level, format, outputs, reopening, and what libraries log."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from milvus_coord.telemetry import logsetup
from milvus_coord.telemetry.log import DEBUG, log, pipeline
from milvus_coord.telemetry.logformat import encode_text
from milvus_coord.telemetry.logsetup import LogSettings
from milvus_coord.telemetry.logsinks import StdoutSink
from testing.logs import log_file


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in ("h2", "hpack"):
        logging.getLogger(name).setLevel(logging.NOTSET)
    pipeline.switch(encode_text, [StdoutSink()])
    log.floor = DEBUG


def to_file(folder: Path, **settings: Any) -> Path:
    file = log_file(folder, "rootcoord-19.log")
    logsetup.configure(replace(LogSettings(stdout=False, file=file), **settings))
    return folder / "rootcoord-19.log"


def test_writes_where_it_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = to_file(tmp_path, stdout=True)
    log.info("both")
    assert path.read_text() == capsys.readouterr().out
    path = to_file(tmp_path)
    log.info("file only")
    assert "file only" in path.read_text()
    assert capsys.readouterr().out == ""
    logsetup.configure(LogSettings())
    log.info("stdout only")
    assert "stdout only" in capsys.readouterr().out
    assert "stdout only" not in path.read_text()


def test_json(tmp_path: Path) -> None:
    path = to_file(tmp_path, format="json")
    log.info("hello", n=1)
    read = json.loads(path.read_text())
    assert list(read) == ["level", "time", "caller", "message", "n"]
    assert read["caller"].startswith("unit/test_log_setup.py:")


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("debug", "debug"),
        ("INFO", "info"),
        ("Warn", "warn"),
        ("warning", "warn"),
        ("error", "error"),
        ("panic", "fatal"),
        ("fatal", "fatal"),
    ],
)
def test_levels(name: str, canonical: str) -> None:
    logsetup.configure(LogSettings(level=name))
    assert logsetup.level() == canonical


def test_level_can_change_at_any_time(tmp_path: Path) -> None:
    path = to_file(tmp_path, level="error")
    log.warn("no")
    logging.getLogger("grpclib").warning("no")
    logsetup.set_level("debug")
    log.debug("yes")
    logging.getLogger("grpclib").debug("yes")
    assert [each.split("] [")[3] for each in path.read_text().splitlines()] == ["yes]", "yes]"]


def test_bad_settings_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="unknown log level 'loud'"):
        LogSettings(level="loud")
    with pytest.raises(ValueError, match="unknown log format 'xml'"):
        LogSettings(format="xml")
    with pytest.raises(ValueError, match="unknown log level ''"):
        logsetup.set_level("")


def test_a_folder_that_cannot_be_written_changes_nothing(tmp_path: Path) -> None:
    path = to_file(tmp_path, level="warn")
    (tmp_path / "plain").touch()
    with pytest.raises(OSError, match=r"plain/a\.log"):
        logsetup.configure(LogSettings(file=log_file(tmp_path / "plain", "a.log")))
    log.warn("still here")
    assert "still here" in path.read_text()
    assert logsetup.level() == "warn"


def test_reopen_after_logrotate(tmp_path: Path) -> None:
    path = to_file(tmp_path)
    log.info("old")
    path.rename(tmp_path / "rotated")
    logsetup.reopen()
    log.info("new")
    assert "[old]" in (tmp_path / "rotated").read_text()
    assert "[new]" in path.read_text()
    assert "[old]" not in path.read_text()


def test_libraries_speak_our_format_with_their_own_caller(tmp_path: Path) -> None:
    path = to_file(tmp_path, level="debug")
    logging.getLogger("grpclib.server").warning("odd request from %s", "10.0.0.3")
    try:
        raise ConnectionError("reset")
    except ConnectionError:
        logging.getLogger("asyncio").exception("callback failed")
    odd, failed = path.read_text().splitlines()
    assert odd.split("] [")[1] == "WARN"
    assert odd.split("] [")[2].startswith("unit/test_log_setup.py:")
    assert odd.endswith('["odd request from 10.0.0.3"]')
    assert '["callback failed"] [error=reset] [stack="Traceback' in failed


def test_http2_debugging_is_kept_out(tmp_path: Path) -> None:
    path = to_file(tmp_path, level="debug")
    for name in ("h2.connection", "hpack.hpack"):
        logging.getLogger(name).debug("no")
        logging.getLogger(name).warning("yes")
    assert path.read_text().count("[no]") == 0
    assert path.read_text().count("[yes]") == 2


def test_a_library_that_formats_wrongly_is_still_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's own would raise
    path = to_file(tmp_path)
    logging.getLogger("x").warning("%d things", "many")
    assert "%d things ('many',)" in path.read_text()


def test_configuring_twice_does_not_double_lines(tmp_path: Path) -> None:
    to_file(tmp_path)
    path = to_file(tmp_path)
    logging.getLogger("x").warning("once")
    assert path.read_text().count("once") == 1
