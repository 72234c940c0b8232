"""A picture of all failovers that were measured: every run a dot, ours over Go's on one scale.

python -m benchmarks.failover.picture
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from statistics import median
from typing import Final
from xml.sax.saxutils import escape

from benchmarks.failover.runs import Run, merged

_ROOT: Final = Path(__file__).parents[2]
_MEASURED: Final = _ROOT / "benchmarks/failover/measured"
_CASES: Final = {
    "sigterm": "SIGTERM",
    "switchover": "switchover",
    "kill": "kill -9, same host",
    "kill-other-host": "kill -9, other host",
    "frozen": "frozen",
    "host-lost": "host lost",
    "cut-etcd": "cut off from etcd",
}
_COLLECTIONS: Final = {0: "empty", 10_000: "10,000 collections"}
_COLOURS: Final = {"ours": "#2e9e5b", "go": "#c2571a"}
_NAMES: Final = {"ours": "ours", "go": "Go 2.2.16"}

_WIDTH, _LEFT, _RIGHT, _TOP = 960, 290, 80, 56
_LANE, _GAP = 16, 10
_LOW_MS, _HIGH_MS = 10.0, 100_000.0
_MARKS: Final = {1e1: "10 ms", 1e2: "100 ms", 1e3: "1 s", 1e4: "10 s", 1e5: "100 s"}


def picture(runs: Sequence[Run]) -> str:
    """The SVG; the scale is logarithmic, the number beside the dots their median."""
    body, y = [], float(_TOP)
    for case, collections in product(_CASES, _COLLECTIONS):
        kinds = {
            kind: [
                run
                for run in runs
                if (run.key.case, run.key.kind, run.key.collections) == (case, kind, collections)
            ]
            for kind in _COLOURS
        }
        title = f"{_CASES[case]}, {_COLLECTIONS[collections]}"
        height = _LANE * sum(map(bool, kinds.values()))
        body.append(_text(_LEFT - 84, y + height / 2 + 4, title, anchor="end"))
        for kind, found in kinds.items():
            if found:
                body += _lane(kind, found, y)
                y += _LANE
        y += _GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y + 24:.0f}" '
        'font-family="system-ui, Helvetica, Arial, sans-serif" role="img" '
        'aria-label="Time without a timestamp in every measured failover, ours over Go\'s">',
        f'<rect width="{_WIDTH}" height="{y + 24:.0f}" fill="#fff"/>',
        _text(16, 24, "Time without a timestamp, every run a dot, session TTL 60 s", size=15),
        *_axis(y),
        *body,
    ]
    return "\n".join([*parts, "</svg>", ""])


def _lane(kind: str, runs: Sequence[Run], y: float) -> Iterator[str]:
    colour, middle = _COLOURS[kind], y + _LANE / 2
    yield _text(_LEFT - 8, middle + 4, _NAMES[kind], anchor="end", size=11, fill=colour)
    for run in runs:
        unsafe = ", not safe" if run.unsafe else ""
        yield (
            f'<circle cx="{_x(run.gap_ms):.1f}" cy="{middle:.1f}" r="3.5" fill="{colour}" '
            f'fill-opacity="0.45"{_ring(run)}>'
            f"<title>{escape(f'{run.gap_ms:.0f} ms{unsafe}')}</title></circle>"
        )
    right = max(_x(run.gap_ms) for run in runs)
    yield _text(right + 8, middle + 4, _said(median(run.gap_ms for run in runs)), size=11)


def _ring(run: Run) -> str:
    return ' stroke="#d11" stroke-width="1.5"' if run.unsafe else ""


def _axis(bottom: float) -> Iterator[str]:
    for at_ms, name in _MARKS.items():
        x = _x(at_ms)
        yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 8}" y2="{bottom:.0f}" stroke="#ddd"/>'
        yield _text(x, _TOP - 14, name, anchor="middle", size=11, fill="#666")
    yield _text(
        16, bottom + 16, "red ring: both answered, or a timestamp came twice", size=11, fill="#666"
    )


def _x(gap_ms: float) -> float:
    span = math.log(_HIGH_MS / _LOW_MS)
    return _LEFT + math.log(max(gap_ms, _LOW_MS) / _LOW_MS) / span * (_WIDTH - _LEFT - _RIGHT)


def _said(gap_ms: float) -> str:
    return f"{gap_ms:.0f} ms" if gap_ms < 1000 else f"{gap_ms / 1000:.1f} s"


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", size: int = 13, fill: str = "#222"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
        f'fill="{fill}">{escape(text)}</text>'
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("places", type=Path, nargs="*", help="folders or files with runs")
    parser.add_argument("-o", "--output", type=Path, default=_ROOT / "docs/failover.svg")
    options = parser.parse_args()
    places = options.places or sorted(_MEASURED.glob("*.jsonl.gz"))
    options.output.write_text(picture(merged(places)))


if __name__ == "__main__":
    main()
