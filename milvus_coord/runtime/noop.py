"""The default of a callback."""

from __future__ import annotations


def noop(*_: object) -> None:
    """Do nothing."""
