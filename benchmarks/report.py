"""Percentiles and plain tables for the benchmarks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Series:
    """Measured values of one thing, in one unit."""

    name: str
    values: tuple[float, ...]

    def percentile(self, percent: float) -> float:
        """Nearest rank: a value that was really measured. Raises ValueError when empty."""
        if not self.values:
            raise ValueError(f"no values of {self.name}")
        rank = max(1, math.ceil(percent / 100 * len(self.values)))
        return sorted(self.values)[rank - 1]

    @property
    def median(self) -> float:
        return self.percentile(50)

    @property
    def largest(self) -> float:
        return max(self.values)


def comparison(title: str, unit: str, *, ours: Series | None, go: Series) -> str:
    """A table of p50, p99 and maximum, with the ratio ours / Go where both were measured."""
    rows = [[title, "rounds", f"p50 {unit}", f"p99 {unit}", f"max {unit}"]]
    measured = [series for series in (ours, go) if series is not None]
    rows += [[one.name, str(len(one.values)), *map(_number, _figures(one))] for one in measured]
    if ours is not None:
        pairs = zip(_figures(ours), _figures(go), strict=True)
        rows.append(["ratio", "", *(f"{mine / theirs:.2f}" for mine, theirs in pairs)])
    return table(rows)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns aligned, numbers to the right; the first row is the head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def _figures(series: Series) -> tuple[float, float, float]:
    return series.median, series.percentile(99), series.largest


def _number(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"
