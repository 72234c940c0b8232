"""What the service manager is told: systemd's sd_notify protocol in plain Python."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping

from milvus_coord.telemetry.log import log


class Notifier:
    """Sends state changes to systemd as sd_notify(3) datagrams; without an address it does nothing.

    No method raises or blocks: a daemon must not stand or fall with its service manager. The first
    datagram that cannot be sent is logged, and again the first one after a success.

    Args:
        address: a unix datagram socket, `/path` or `@name` of the abstract namespace.
        watchdog_s: after how many seconds without `watchdog` systemd ends the process; None: never.
    """

    def __init__(self, address: str | None, *, watchdog_s: float | None = None) -> None:
        self.watchdog_s = watchdog_s
        self._address = _socket_address(address)
        self._lost = False

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Notifier:
        """The notifier that NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID ask for.

        A watchdog that was meant for another process (WATCHDOG_PID) or is no positive number is
        left out, as sd_watchdog_enabled(3) does.
        """
        return cls(environ.get("NOTIFY_SOCKET"), watchdog_s=_watchdog_s(environ))

    @property
    def enabled(self) -> bool:
        """Whether anybody listens, as far as the environment says."""
        return self._address is not None

    def ready(self, status: str | None = None) -> None:
        """Startup, or a reload announced by `reloading`, is complete. Tells the pid as well."""
        self._send("READY=1", f"MAINPID={os.getpid()}", *_status_lines(status))

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send(*_status_lines(text))

    def reloading(self) -> None:
        """A reload begins; `ready` ends it. The time is what Type=notify-reload waits for."""
        now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={now_us}")

    def stopping(self, status: str | None = None) -> None:
        """The process has begun to stop."""
        self._send("STOPPING=1", *_status_lines(status))

    def watchdog(self) -> None:
        """The process makes progress; due at least every `watchdog_s`."""
        self._send("WATCHDOG=1")

    def _send(self, *assignments: str) -> None:
        if self._address is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)
                sender.sendto("\n".join(assignments).encode(), self._address)
        except (OSError, ValueError) as error:
            if not self._lost:
                log.warn("service manager not reached", error=str(error), sent=assignments[0])
            self._lost = True
        else:
            self._lost = False

    def __repr__(self) -> str:
        return f"<Notifier {self._address!r} watchdog={self.watchdog_s}>"


def _socket_address(address: str | None) -> str | None:
    if not address:
        return None
    if address.startswith("@"):
        return "\0" + address[1:]
    if address.startswith("/"):
        return address
    log.warn("NOTIFY_SOCKET is of a kind that is not supported", address=address)
    return None


def _watchdog_s(environ: Mapping[str, str]) -> float | None:
    period_us = environ.get("WATCHDOG_USEC", "")
    if not period_us.isdecimal() or int(period_us) == 0:
        return None
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(period_us) / 1e6


def _status_lines(text: str | None) -> tuple[str, ...]:
    # A line break would start an assignment of its own.
    return () if text is None else ("STATUS=" + " ".join(text.splitlines()),)
