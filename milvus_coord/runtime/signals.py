"""What a daemon does with signals: stop in order, stop at once, reload."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from milvus_coord.telemetry.log import log

_STOPPING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


@dataclass(slots=True)
class StopRequest:
    """`stop` is set by the first signal, `hurry` by the second: do not wait for running work."""

    stop: asyncio.Event = field(default_factory=asyncio.Event)
    hurry: asyncio.Event = field(default_factory=asyncio.Event)

    def ask(self) -> None:
        """Stop; asked again, stop without waiting."""
        if self.stop.is_set():
            self.hurry.set()
        self.stop.set()


def handle(request: StopRequest, reload: Callable[[], None]) -> None:
    """Take over the signals of this process for the running loop.

    SIGTERM, SIGINT and SIGQUIT ask to stop. SIGHUP calls `reload`; Go 2.2.16 stops on it, which
    surprises those who rotate logs. A third stopping signal has its default effect: it kills.
    """
    loop = asyncio.get_running_loop()

    def on_stop(number: signal.Signals) -> None:
        log.warn("Get signal to exit", signal=number.name)
        request.ask()
        if request.hurry.is_set():
            for each in _STOPPING:
                loop.remove_signal_handler(each)

    for each in _STOPPING:
        loop.add_signal_handler(each, on_stop, each)
    loop.add_signal_handler(signal.SIGHUP, reload)
