"""The log: `log.info("message", field=value)`, in Milvus' format, on loguru.

Until `logsetup.configure` is called every line goes to standard output as text, DEBUG included.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from loguru import logger

from milvus_coord.telemetry.logformat import Entry, encode_text
from milvus_coord.telemetry.logsinks import LineSink, StdoutSink

if TYPE_CHECKING:
    from loguru import Message

DEBUG: Final = 10
INFO: Final = 20
WARN: Final = 30
ERROR: Final = 40
FATAL: Final = 50

_NAMES: Final = {"WARNING": "WARN", "CRITICAL": "FATAL"}
_caller_of = logger.opt(depth=1)
_context: Final[ContextVar[Mapping[str, object]]] = ContextVar("log", default=MappingProxyType({}))


class Log:
    """The one facade of the process. Fields keep their order; odd names go in as `**{"a b": 1}`.

    A line below `floor` costs one comparison. Any value may be a field: an exception prints its
    text, and at ERROR and above its traceback too. Nothing here raises.
    """

    __slots__ = ("floor",)

    def __init__(self) -> None:
        self.floor = DEBUG

    def debug(self, message: str, /, **fields: object) -> None:
        """For the one who debugs."""
        if self.floor <= DEBUG:
            _caller_of.bind(**fields).debug(message)

    def info(self, message: str, /, **fields: object) -> None:
        """A change of state that an operator may want to know."""
        if self.floor <= INFO:
            _caller_of.bind(**fields).info(message)

    def warn(self, message: str, /, **fields: object) -> None:
        """Something went wrong and is being dealt with."""
        if self.floor <= WARN:
            _caller_of.bind(**fields).warning(message)

    def error(self, message: str, /, **fields: object) -> None:
        """Something went wrong and somebody should look."""
        if self.floor <= ERROR:
            _caller_of.bind(**fields).error(message)

    def fatal(self, message: str, /, **fields: object) -> None:
        """The last words of a process. Unlike Go's, it does not end it: the caller does."""
        _caller_of.bind(**fields).critical(message)

    @contextmanager
    def context(self, **fields: object) -> Iterator[None]:
        """Add `fields`, after a line's own, to all that is logged inside and by tasks of inside."""
        token = _context.set({**_context.get(), **fields})
        try:
            yield
        finally:
            _context.reset(token)


class Pipeline:
    """loguru's only handler: encodes a record and hands the line to the sinks of the moment.

    Lines that a sink could not take are counted; the first line it takes again tells how many.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._encode: Callable[[Entry], str] = encode_text
        self._sinks: tuple[LineSink, ...] = (StdoutSink(),)
        self._lost: dict[LineSink, int] = {}

    def switch(self, encode: Callable[[Entry], str], sinks: Sequence[LineSink]) -> None:
        """Use these from the next line on; the former sinks are closed."""
        with self._lock:
            former, self._encode, self._sinks = self._sinks, encode, tuple(sinks)
            self._lost.clear()
            for sink in former:
                sink.close()

    def reopen(self) -> None:
        """Reopen every sink. Raises OSError."""
        with self._lock:
            for sink in self._sinks:
                sink.reopen()

    def __call__(self, message: Message) -> None:
        record = message.record
        level = record["level"].name
        entry = Entry(
            record["time"],
            _NAMES.get(level, level),
            f"{_last_two(record['file'].path)}:{record['line']}",
            record["message"],
            {**record["extra"], **_beyond(record["extra"])},
        )
        line = self._encode(entry) + "\n"
        with self._lock:
            for sink in self._sinks:
                if self._lost and not self._made_good(sink, entry):
                    self._lost[sink] += 1
                elif not sink.write(line):
                    self._lost[sink] = 1

    def _made_good(self, sink: LineSink, entry: Entry) -> bool:
        if lost := self._lost.get(sink, 0):
            notice = Entry(entry.time, "WARN", entry.caller, "log lines were lost", {"lines": lost})
            if not sink.write(self._encode(notice) + "\n"):
                return False
            del self._lost[sink]
        return True


def _beyond(own: Mapping[str, object]) -> dict[str, object]:
    """The fields of the context that a line has not set itself."""
    return {name: value for name, value in _context.get().items() if name not in own}


@lru_cache(maxsize=1024)
def _last_two(path: str) -> str:
    return "/".join(path.split("/")[-2:])


log: Final = Log()
pipeline: Final = Pipeline()

logger.remove()
logger.add(pipeline, level=0, format="", backtrace=False, diagnose=False, catch=True)
