"""What one run found, and the folder in which runs are kept so that more can be added."""

from __future__ import annotations

import dataclasses
import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from testing.sightings import Sighting

RUNS: Final = "runs.jsonl"


@dataclass(frozen=True, slots=True)
class Key:
    """What runs have in common that belong into one row."""

    case: str
    kind: str  # "ours" or "go"
    collections: int
    ttl_s: int


@dataclass(frozen=True, slots=True)
class Run:
    """One fault and what became of it.

    Attributes:
        gap_ms: longest time between two timestamps of a client that asks every 2 ms.
        answer_ms: from the fault to the first timestamp of the successor, None without one.
        stalled_ms: how much of the gap the client itself was not run.
        errors: tries at the active that failed from the fault to the successor's first answer.
        unsafe: what must not be; empty when all is well.
        notes: what else is worth knowing, such as a process that ended by itself.
        takeover: the history entry, as JSON has it; None without a takeover or for Go.
        served: whether a client was served again at all; else `gap_ms` is a lower bound.
        old, new: addresses of the active and the standby.
        began_ms: Unix time of the fault.
        tries: the file with all that the client did.
    """

    key: Key
    number: int
    gap_ms: float
    answer_ms: float | None
    stalled_ms: float
    errors: Mapping[str, int]
    unsafe: tuple[str, ...]
    notes: tuple[str, ...]
    takeover: Mapping[str, Any] | None
    served: bool
    old: str
    new: str
    began_ms: int
    tries: str = ""

    def encode(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def decode(cls, line: str) -> Run:
        fields = json.loads(line)
        fields["key"] = Key(**fields["key"])
        fields["unsafe"], fields["notes"] = tuple(fields["unsafe"]), tuple(fields["notes"])
        return cls(**fields)


@dataclass(frozen=True, slots=True)
class Folder:
    """Runs as JSON lines, and the tries of each, compressed."""

    path: Path
    runs: list[Run] = field(default_factory=list)

    @classmethod
    def open(cls, path: Path) -> Folder:
        """Read what is there already; a last line cut short by an interruption is cut off."""
        path.mkdir(parents=True, exist_ok=True)
        file = path / RUNS
        text = file.read_text() if file.exists() else ""
        whole, newline, torn = text.rpartition("\n")
        if torn:
            file.write_text(whole + newline)
        return cls(path, [Run.decode(line) for line in whole.splitlines()])

    def of(self, key: Key) -> list[Run]:
        return [run for run in self.runs if run.key == key]

    def add(self, run: Run, tries: Iterable[Sighting], struck_s: float) -> Run:
        """Write both; the times of the tries are milliseconds since the fault."""
        key = run.key
        name = f"{key.case}-{key.kind}-{key.collections}-{run.number}.jsonl.gz"
        with gzip.open(self.path / name, "wt", compresslevel=3) as file:
            file.writelines(_line(one, struck_s) for one in tries)
        run = dataclasses.replace(run, tries=name)
        with (self.path / RUNS).open("a") as file:
            file.write(run.encode() + "\n")
        self.runs.append(run)
        return run


def merged(places: Sequence[Path]) -> list[Run]:
    """The runs of several folders, or of files that hold just a folder's runs, compressed."""
    return [run for path in places for run in _runs_in(path)]


def _runs_in(path: Path) -> list[Run]:
    if path.is_dir():
        return Folder.open(path).runs
    with gzip.open(path, "rt") as file:
        return [Run.decode(line) for line in file]


def _line(one: Sighting, struck_s: float) -> str:
    fields = {
        "sent_ms": round((one.sent_s - struck_s) * 1000, 3),
        "received_ms": round((one.received_s - struck_s) * 1000, 3),
        "address": one.address,
        "method": one.method.name.lower(),
        "outcome": one.outcome.name.lower(),
        "server_id": one.server_id,
        "connection": one.connection,
        "first": one.first,
        "count": one.count,
    }
    return json.dumps(fields, separators=(",", ":")) + "\n"
