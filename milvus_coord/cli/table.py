"""Plain tables: one record a line, so that grep finds it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from milvus_coord.cli.format import printable


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, right: str = "") -> list[str]:
    """The lines of a table; columns whose name is among the words of `right` are right-aligned.

    Between two of those one space is enough.
    """
    aligned = right.split()
    lines = [tuple(printable(cell) for cell in row) for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    numbers = [name in aligned for name in head]
    gaps = ["", *(" " if all(two) else "  " for two in pairwise(numbers))]
    return [
        "".join(
            gap + (cell.rjust(width) if number else cell.ljust(width))
            for gap, cell, width, number in zip(gaps, line, widths, numbers, strict=True)
        ).rstrip()
        for line in lines
    ]
