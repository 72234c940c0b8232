"""The log of a configured process: level, format, outputs, and what libraries log."""

from __future__ import annotations

import inspect
import logging
from dataclasses import dataclass
from typing import Final

from loguru import logger

from milvus_coord.telemetry.log import DEBUG, ERROR, FATAL, INFO, WARN, log, pipeline
from milvus_coord.telemetry.logfile import LogFile, RotatingFile
from milvus_coord.telemetry.logformat import encode_json, encode_text
from milvus_coord.telemetry.logsinks import LineSink, StdoutSink

_FLOORS: Final = {
    "debug": DEBUG,
    "info": INFO,
    "warn": WARN,
    "error": ERROR,
    "fatal": FATAL,
    "warning": WARN,
    "dpanic": FATAL,
    "panic": FATAL,
}
_NAMES: Final = {floor: name for name, floor in reversed(_FLOORS.items())}
_ENCODERS: Final = {"text": encode_text, "json": encode_json}
_CHATTY: Final = ("grpc", "h2", "hpack")


@dataclass(frozen=True, slots=True)
class LogSettings:
    """How a process logs.

    Args:
        level: debug, info, warn, error, panic or fatal, in any case.
        format: text or json.
        stdout: also (or only) write to standard output.
        file: also write there.
    """

    level: str = "info"
    format: str = "text"
    stdout: bool = True
    file: LogFile | None = None

    def __post_init__(self) -> None:
        _floor(self.level)
        if self.format not in _ENCODERS:
            raise ValueError(f"unknown log format {self.format!r}, expected text or json")


def configure(settings: LogSettings) -> None:
    """Log as `settings` says from the next line on; may be called again.

    Raises OSError naming the path when the log file cannot be written; nothing has changed then.
    """
    sinks: list[LineSink] = [StdoutSink()] if settings.stdout else []
    if settings.file is not None:
        sinks.append(RotatingFile(settings.file))
    pipeline.switch(_ENCODERS[settings.format], sinks)
    set_level(settings.level)
    root = logging.getLogger()
    if not any(isinstance(handler, _FromStdlib) for handler in root.handlers):
        root.addHandler(_FromStdlib())


def set_level(name: str) -> None:
    """Drop lines below the level `name`. Raises ValueError for a name that is no level."""
    floor = _floor(name)
    log.floor = floor
    logging.getLogger().setLevel(floor)
    for chatty in _CHATTY:
        logging.getLogger(chatty).setLevel(max(floor, WARN))


def level() -> str:
    """The lowest level logged: debug, info, warn, error or fatal."""
    return _NAMES[log.floor]


def reopen() -> None:
    """Open the log file anew by its name, after a rotation from outside.

    Raises OSError naming the path when that fails; logging goes on into the former file.
    """
    pipeline.reopen()


def _floor(name: str) -> int:
    floor = _FLOORS.get(name.lower())
    if floor is None:
        known = ", ".join(_FLOORS)
        raise ValueError(f"unknown log level {name!r}, expected one of {known}")
    return floor


class _FromStdlib(logging.Handler):
    """Turns what libraries log by `logging` into our lines, with their own caller."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno < log.floor:
            return
        fields = {"error": record.exc_info[1]} if record.exc_info and record.exc_info[1] else {}
        frame, depth = inspect.currentframe(), 0
        while frame and (depth == 0 or frame.f_code.co_filename == logging.__file__):
            frame, depth = frame.f_back, depth + 1
        try:
            text = record.getMessage()
        except Exception:  # a library's format string and arguments may not match
            text = f"{record.msg} {record.args}"
        logger.opt(depth=depth).bind(**fields).log(_loguru_level(record.levelno), text)


def _loguru_level(number: int) -> str:
    if number >= FATAL:
        return "CRITICAL"
    if number >= ERROR:
        return "ERROR"
    if number >= WARN:
        return "WARNING"
    return "INFO" if number >= INFO else "DEBUG"
