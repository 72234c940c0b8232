"""The books of the failover benchmark: runs that survive an interruption, and what a table says."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from benchmarks.failover.picture import picture
from benchmarks.failover.runs import RUNS, Folder, Key, Run, merged
from benchmarks.failover.table import tables
from testing.sightings import Method, Outcome, Sighting

ROOT = Path(__file__).parents[2]
TAKEOVER: Mapping[str, Any] = {"cause": "process-died", "at_ms": 5, "phases": {"detect": 1.5}}


def _run(number: int = 1, gap_ms: float = 20.0, **changes: Any) -> Run:
    return Run(
        **{
            "key": Key("kill", "ours", 0, 60),
            "number": number,
            "gap_ms": gap_ms,
            "answer_ms": gap_ms,
            "stalled_ms": 0.0,
            "errors": {"failed": 1},
            "unsafe": (),
            "notes": (),
            "takeover": TAKEOVER,
            "served": True,
            "old": "a:1",
            "new": "b:1",
            "began_ms": 4,
            **changes,
        }
    )


def _row(table: str, case: str = "kill") -> list[str]:
    line = next(line for line in table.splitlines() if line.startswith(f"| {case} |"))
    return [cell.strip() for cell in line.split("|")[1:-1]]


def test_runs_are_read_back_and_a_torn_line_is_left_out(tmp_path: Path) -> None:
    folder = Folder.open(tmp_path)
    seen = Sighting("a:1", Method.ALLOC_TIMESTAMP, Outcome.OK, 1, 7, 10.0, 10.5, 3, 3)
    kept = [folder.add(_run(number), [seen], 10.0) for number in (1, 2)]
    with (tmp_path / RUNS).open("a") as file:
        file.write('{"key": {"case": "ki')
    again = Folder.open(tmp_path)
    assert again.runs == kept
    assert again.of(Key("kill", "ours", 0, 60)) == kept
    assert again.of(Key("kill", "go", 0, 60)) == []
    more = again.add(_run(3), [], 0.0)
    assert Folder.open(tmp_path).runs == [*kept, more]
    packed = tmp_path / "packed.jsonl.gz"
    packed.write_bytes(gzip.compress((tmp_path / RUNS).read_bytes()))
    assert merged([tmp_path, packed]) == [*kept, more, *kept, more]


@pytest.mark.parametrize(
    ("gaps", "verdict"),
    [
        ([20.0] * 49 + [99.0], "met"),
        ([20.0] * 49 + [101.0], "NOT met"),  # p99 100
        ([20.0] * 20 + [31.0] * 30, "NOT met"),  # p50 30
    ],
)
def test_a_bound_is_met_or_not(gaps: list[float], verdict: str) -> None:
    row = _row(tables([_run(number, gap) for number, gap in enumerate(gaps)]))
    assert row[1] == "50"
    assert row[6] == verdict


def test_ten_thousand_collections_may_take_a_tenth_of_a_second_more() -> None:
    key = Key("kill", "ours", 10_000, 60)
    assert _row(tables([_run(gap_ms=129.0, key=key)]))[6] == "met"
    assert _row(tables([_run(gap_ms=131.0, key=key)]))[6] == "NOT met"


def test_one_unsafe_run_spoils_the_row_and_is_named() -> None:
    table = tables([_run(1), _run(2, unsafe=("handed out twice",))])
    assert _row(table)[7] == "NO: 1 of 2"
    assert table.endswith("- kill 0 run 2: handed out twice")


def test_a_client_that_is_never_served_again_meets_no_bound() -> None:
    assert _row(tables([_run(gap_ms=1.0, served=False)]))[6] == "NOT met"


def test_where_nobody_may_take_over_a_takeover_or_an_exit_counts() -> None:
    key = Key("etcd-compacted", "ours", 0, 60)
    quiet = _run(key=key, takeover=None)
    assert _row(tables([quiet]), "etcd-compacted")[6] == "met"
    for spoilt in (_run(key=key), _run(key=key, takeover=None, notes=("x ended with 1",))):
        assert _row(tables([quiet, spoilt]), "etcd-compacted")[6] == "NOT met"


def test_go_stands_beside_ours_with_the_ratio() -> None:
    go = Key("kill", "go", 0, 60)
    row = _row(tables([_run(gap_ms=20.0), _run(gap_ms=40_000.0, key=go, served=False)]))
    assert row[9:] == ["> 40000", "> 40000", "1, 1 never served again", "yes", "0.0005"]


def test_the_picture_has_every_run_of_ours_over_those_of_go() -> None:
    ours = [_run(number, 40.0 + number) for number in (1, 2, 3)]
    go = _run(1, 59_000.0, key=Key("kill", "go", 0, 60), unsafe=("both answered",))
    drawn = picture([*ours, go])
    assert drawn.count("<circle") == 4
    assert drawn.count("not safe") == drawn.count('stroke="#d11"') == 1
    assert [drawn.index(word) for word in (">42 ms<", ">59.0 s<")] == sorted(
        drawn.index(word) for word in (">42 ms<", ">59.0 s<")
    )


def test_the_picture_in_the_documents_is_of_the_runs_that_are_kept() -> None:
    measured = sorted((ROOT / "benchmarks/failover/measured").glob("*.jsonl.gz"))
    assert (ROOT / "docs/failover.svg").read_text() == picture(merged(measured))
