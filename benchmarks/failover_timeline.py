"""A picture of real failovers: what each server answered a client, and the phases in between.

Takes, for each case, the run in the middle of those that `benchmarks.failover` kept.

    python -m benchmarks.failover_timeline failover-runs --cases sigterm,kill,frozen
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape

from benchmarks.failover.runs import Folder, Run

_ROOT: Final = Path(__file__).parents[1]
_COLOURS: Final[Mapping[str, tuple[str, str]]] = {
    "ok": ("#2e9e5b", "timestamp given"),
    "not_serving": ("#e0a800", "not serving yet"),
    "failed": ("#d64545", "refused by the server, or connection lost"),
    "timeout": ("#8e5bc0", "no answer in time"),
    "refused": ("#c9ced6", "nobody listens"),
}
_PHASES: Final = ("#4a6fa5", "#6d8fc2", "#35557f", "#5a7fb3", "#44689c", "#7b9bcb")
_WIDTH, _LEFT, _RIGHT = 960, 150, 24
_LANE, _PANEL = 22, 168
_KEPT_MS: Final = 280.0  # of tries before the fault and after the first answer
_TIMESTAMPS: Final = "alloc_timestamp"


@dataclass(frozen=True, slots=True)
class Stretch:
    """Tries at one server with one outcome in a row; milliseconds since the fault."""

    outcome: str
    began_ms: float
    ended_ms: float


class Panel:
    """One failover, drawn from `top` on; time runs from shortly before the fault to after it."""

    def __init__(self, run: Run, tries: Sequence[Mapping[str, Any]], top: float) -> None:
        self._run, self._tries, self._top = run, tries, top
        done_ms = run.answer_ms or run.gap_ms
        margin_ms = min(0.2 * done_ms + 5, _KEPT_MS)
        self._from_ms, self._to_ms = -margin_ms, done_ms + margin_ms

    def svg(self) -> Iterator[str]:
        run, top = self._run, self._top
        title = f"{run.key.case}: {run.gap_ms:.0f} ms without a timestamp, TTL {run.key.ttl_s} s"
        yield _text(_LEFT, top + 16, title, size=15, weight="bold")
        lanes = (("the active", run.old), ("the standby", run.new))
        for number, (name, address) in enumerate(lanes):
            y = top + 32 + number * (_LANE + 6)
            yield _text(_LEFT - 10, y + 15, name, anchor="end")
            for stretch in self._stretches(address):
                colour = _COLOURS[stretch.outcome][0]
                yield self._bar(stretch.began_ms, stretch.ended_ms, y, colour, stretch.outcome)
        yield from self._phases(top + 32 + 2 * (_LANE + 6))
        x = self._x(0)
        yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top + 26}" y2="{top + 122}" stroke="#111"/>'
        yield from self._axis(top + 122)

    def _stretches(self, address: str) -> Iterator[Stretch]:
        there = [
            one for one in self._tries if one["address"] == address and one["method"] == _TIMESTAMPS
        ]
        for outcome, group in groupby(there, key=lambda one: str(one["outcome"])):
            row = list(group)
            began_ms, ended_ms = row[0]["sent_ms"], max(one["received_ms"] for one in row)
            if ended_ms > self._from_ms and began_ms < self._to_ms:
                yield Stretch(outcome, began_ms, ended_ms)

    def _phases(self, y: float) -> Iterator[str]:
        """Those of the history entry; the active key was won at the end of the claim."""
        takeover = self._run.takeover
        if not takeover or not takeover["phases"]:
            return
        yield _text(_LEFT - 10, y + 15, "phases", anchor="end")
        phases: Mapping[str, float] = takeover["phases"]
        names = list(phases)
        won = names.index("claim") + 1 if "claim" in names else 0
        at_ms = takeover["at_ms"] - self._run.began_ms - sum(phases[name] for name in names[:won])
        for number, (name, took_ms) in enumerate(phases.items()):
            colour = _PHASES[number % len(_PHASES)]
            yield self._bar(at_ms, at_ms + took_ms, y, colour, f"{name} {took_ms:.1f} ms")
            wide = self._x(at_ms + took_ms) - self._x(max(at_ms, self._from_ms))
            if wide > 8 * len(name):
                middle = self._x(max(at_ms, self._from_ms)) + wide / 2
                yield _text(middle, y + 15, name, anchor="middle", fill="#fff")
            at_ms += took_ms

    def _axis(self, y: float) -> Iterator[str]:
        step_ms = _step(self._to_ms - self._from_ms)
        at_ms = 0.0
        while at_ms <= self._to_ms:
            x = self._x(at_ms)
            yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y}" y2="{y + 5}" stroke="#888"/>'
            yield _text(x, y + 18, f"{at_ms:g} ms", anchor="middle", fill="#666", size=11)
            at_ms += step_ms

    def _bar(self, began_ms: float, ended_ms: float, y: float, colour: str, hint: str) -> str:
        left = self._x(max(began_ms, self._from_ms))
        width = max(1.0, self._x(min(ended_ms, self._to_ms)) - left)
        return (
            f'<rect x="{left:.1f}" y="{y}" width="{width:.1f}" height="{_LANE}" fill="{colour}">'
            f"<title>{escape(hint)}</title></rect>"
        )

    def _x(self, at_ms: float) -> float:
        part = (at_ms - self._from_ms) / (self._to_ms - self._from_ms)
        return _LEFT + part * (_WIDTH - _LEFT - _RIGHT)


def picture(runs: Sequence[tuple[Run, Sequence[Mapping[str, Any]]]]) -> str:
    """The SVG: a legend, then a panel for each run with its tries."""
    height = 44 + len(runs) * _PANEL
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        'font-family="system-ui, Helvetica, Arial, sans-serif" role="img" '
        'aria-label="What a client was answered during failovers">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
        *_legend(),
    ]
    for number, (run, tries) in enumerate(runs):
        parts += Panel(run, tries, 44 + number * _PANEL).svg()
    return "\n".join([*parts, "</svg>", ""])


def _legend() -> Iterator[str]:
    x = 24.0
    for colour, meaning in _COLOURS.values():
        yield f'<rect x="{x:.0f}" y="14" width="12" height="12" fill="{colour}"/>'
        yield _text(x + 18, 24, meaning, size=12)
        x += 44 + 6.6 * len(meaning)


def _text(
    x: float,
    y: float,
    text: str,
    *,
    anchor: str = "start",
    size: int = 13,
    fill: str = "#222",
    weight: str = "normal",
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{fill}" '
        f'font-weight="{weight}">{escape(text)}</text>'
    )


def _step(span_ms: float) -> float:
    """A round step with at most ten marks."""
    steps = (unit * factor for unit in (1, 10, 100, 1000, 10_000) for factor in (1, 2, 5))
    return next(step for step in steps if span_ms / step <= 10)


def middle_run(folder: Folder, case: str) -> Run:
    """The safe run of ours with the middle gap. Raises ValueError when there is none."""
    found = [
        run for run in folder.runs if (run.key.case, run.key.kind) == (case, "ours") and run.served
    ]
    if not found:
        raise ValueError(f"no run of {case} in {folder.path}")
    chosen = [run for run in found if not run.unsafe] or found
    return sorted(chosen, key=lambda run: run.gap_ms)[len(chosen) // 2]


def _tries(folder: Folder, run: Run) -> list[Mapping[str, Any]]:
    with gzip.open(folder.path / run.tries, "rt") as file:
        return [json.loads(line) for line in file]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cases", default="sigterm,kill,kill-other-host,frozen")
    parser.add_argument("-o", "--output", type=Path, default=_ROOT / "docs/failover-timeline.svg")
    options = parser.parse_args()
    folder = Folder.open(options.folder)
    runs = [middle_run(folder, case) for case in options.cases.split(",")]
    options.output.write_text(picture([(run, _tries(folder, run)) for run in runs]))


if __name__ == "__main__":
    main()
