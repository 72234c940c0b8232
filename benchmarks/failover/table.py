"""The runs as one Markdown table for each number of collections."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence

from benchmarks.failover.cases import CASES, Case
from benchmarks.failover.runs import Run
from benchmarks.report import Series

_TROUBLE_LENGTH = 300
_HEAD = (
    "case",
    "runs",
    "p50 ms",
    "p99 ms",
    "worst ms",
    "bound ms",
    "",
    "SAFE",
    "errors a run",
    "Go p50 ms",
    "Go worst ms",
    "Go runs",
    "Go SAFE",
    "ratio of p50",
)


def tables(runs: Sequence[Run]) -> str:
    """All tables, and below them every run of ours that was not safe."""
    parts = []
    for collections, ttl_s in sorted({(run.key.collections, run.key.ttl_s) for run in runs}):
        chosen = [r for r in runs if (r.key.collections, r.key.ttl_s) == (collections, ttl_s)]
        parts.append(f"{collections:,} collections, TTL {ttl_s} s:\n\n{_table(chosen)}")
    troubles = [_trouble(run) for run in runs if run.unsafe and run.key.kind == "ours"]
    if troubles:
        parts.append("Not safe:\n\n" + "\n".join(troubles))
    return "\n\n".join(parts)


def _table(runs: Sequence[Run]) -> str:
    rows = [_HEAD, *_rows(runs)]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|" + "---|" * len(_HEAD))
    return "\n".join(lines)


def _rows(runs: Sequence[Run]) -> Iterator[tuple[str, ...]]:
    for case in CASES:
        ours = [run for run in runs if run.key.case == case.name and run.key.kind == "ours"]
        go = [run for run in runs if run.key.case == case.name and run.key.kind == "go"]
        if ours or go:
            yield case.name, *_ours(case, ours), *_go(go), _ratio(ours, go)


def _ours(case: Case, runs: Sequence[Run]) -> tuple[str, ...]:
    if not runs:
        return ("0",) + ("",) * 7
    gaps = _gaps(runs)
    bounds = case.bounds(runs[0].key.collections)
    met = all(run.served for run in runs) and all(
        gaps.percentile(percent) <= bound for percent, bound in bounds
    )
    safe = sum(not run.unsafe for run in runs)
    failovers = "" if case.fails_over else "no failover"
    return (
        str(len(runs)),
        *(_number(value) for value in (gaps.median, gaps.percentile(99), gaps.largest)),
        ", ".join(f"p{percent:.0f} {bound:g}" for percent, bound in bounds) or failovers,
        ("met" if met else "NOT met") if bounds else _kept(runs),
        "yes" if safe == len(runs) else f"NO: {len(runs) - safe} of {len(runs)}",
        _errors(runs),
    )


def _kept(runs: Sequence[Run]) -> str:
    """Whether nobody took over and nobody ended."""
    kept = all(run.served and not run.takeover and not run.notes for run in runs)
    return "met" if kept else "NOT met"


def _go(runs: Sequence[Run]) -> tuple[str, ...]:
    if not runs:
        return ("",) * 4
    gaps, never = _gaps(runs), sum(not run.served for run in runs)
    more = "> " if never else ""
    ended = Counter(note.rpartition(" ended ")[2] for run in runs for note in run.notes)
    safe = "yes" if not any(run.unsafe for run in runs) else "NO"
    return (
        more + _number(gaps.median),
        more + _number(gaps.largest),
        str(len(runs)) + (f", {never} never served again" if never else ""),
        safe + "".join(f", ended {how} in {count}" for how, count in ended.items()),
    )


def _ratio(ours: Sequence[Run], go: Sequence[Run]) -> str:
    if not ours or not go:
        return ""
    return f"{_gaps(ours).median / _gaps(go).median:.4f}"


def _gaps(runs: Sequence[Run]) -> Series:
    return Series("gap", tuple(run.gap_ms for run in runs))


def _errors(runs: Sequence[Run]) -> str:
    total: Counter[str] = Counter()
    for run in runs:
        total.update(run.errors)
    return ", ".join(f"{count / len(runs):.3g} {kind}" for kind, count in total.items()) or "none"


def _trouble(run: Run) -> str:
    key = run.key
    why = textwrap.shorten("; ".join(run.unsafe), _TROUBLE_LENGTH)
    return f"- {key.case} {key.collections} run {run.number}: {why}"


def _number(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"
