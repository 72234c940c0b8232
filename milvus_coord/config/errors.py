"""The one error of a bad configuration: all problems, each with its key, value and source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong.

    `key` is spelled as Milvus spells it ("rootCoord.port"), None when a whole file is at fault.
    `value` is ready to print, None where there is none; secrets are masked.
    """

    source: str
    must: str
    key: str | None = None
    value: str | None = None

    def __str__(self) -> str:
        if self.key is None:
            return f"{self.source}: {self.must}"
        value = "" if self.value is None else f" = {self.value}"
        return f"{self.key}{value} ({self.source}): {self.must}"


class ConfigError(Exception):
    """The configuration cannot be used; `str()` is what the command line prints (exit code 2)."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(*self.problems)

    def __str__(self) -> str:
        many = len(self.problems)
        head = "configuration refused:" if many == 1 else f"configuration refused, {many} problems:"
        return "\n  ".join([head, *map(str, self.problems)])
