"""A plugin of pytest that tells scripts: `-p testing.outcomes --outcomes=FILE`.

It writes one line of JSON for each test, `{"test": id, "outcome": "passed", "why": ""}`. An outcome
is passed, failed or skipped; `why` is the reason for skipping. What fails twice, in its call and in
its end, has two lines. A file that cannot be collected has failed.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--outcomes", type=Path, help="file to write a line for each test into")


def pytest_configure(config: pytest.Config) -> None:
    path = config.getoption("--outcomes")
    if path is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Outcomes(path))


class Outcomes:
    """Hears of all tests, those of workers too."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._write(report.nodeid, "failed")
        elif report.skipped and not hasattr(report, "wasxfail"):
            why = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
            self._write(report.nodeid, "skipped", why.removeprefix("Skipped: "))
        elif report.when == "call":
            self._write(report.nodeid, "passed")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._write(report.nodeid, "failed")

    def _write(self, test: str, outcome: str, why: str = "") -> None:
        line = json.dumps({"test": test, "outcome": outcome, "why": why})
        with self._path.open("a") as file:
            file.write(f"{line}\n")
