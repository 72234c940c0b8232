"""One line of `milvus doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Grade(Enum):
    """How bad it is. `BAD` needs somebody now: a failover would fail, or data is at risk."""

    OK = "ok"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, what was found, and what to do about it (empty when all is well)."""

    grade: Grade
    what: str
    detail: str
    advice: str = ""


def ok(what: str, detail: str) -> Finding:
    """All is well."""
    return Finding(Grade.OK, what, detail)


def warn(what: str, detail: str, advice: str) -> Finding:
    """It works, but less well than it should."""
    return Finding(Grade.WARN, what, detail, advice)


def bad(what: str, detail: str, advice: str) -> Finding:
    """Somebody is needed."""
    return Finding(Grade.BAD, what, detail, advice)
