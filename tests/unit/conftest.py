"""Unit tests start no process and open no socket: those belong to tests/contract or tests/ha."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Final

import pytest

REFUSED: Final = frozenset(
    {"socket.bind", "socket.connect", "subprocess.Popen", "os.fork", "os.posix_spawn", "os.exec"}
)
"""Events of Python's audit; a pair of sockets, as an event loop has, is not among them."""

_testing: str | None = None


@pytest.fixture(autouse=True)
def neither_processes_nor_sockets(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails what a test does of `REFUSED`, where it does it."""
    global _testing  # noqa: PLW0603 - an audit hook stays until the process ends
    _testing = request.node.nodeid
    try:
        yield
    finally:
        _testing = None


def _audit(event: str, args: tuple[object, ...]) -> None:
    if _testing is not None and event in REFUSED:
        raise AssertionError(f"{_testing} is a unit test: {event} {args[:2]}")


sys.addaudithook(_audit)
