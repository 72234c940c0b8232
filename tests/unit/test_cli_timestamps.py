"""`milvus ts`: what a hybrid timestamp says."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from milvus_coord.cli.timestamps import decoded, show


@pytest.fixture(autouse=True)
def one_hour_east(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "EAST-1")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_a_timestamp_of_milvus() -> None:
    assert decoded(444332211000000512) == {
        "timestamp": 444332211000000512,
        "utc": "2023-09-17T23:21:10.330+00:00",
        "local": "2023-09-18T00:21:10.330+01:00",
        "unix_ms": 1694992870330,
        "logical": 212992,
    }


@pytest.mark.parametrize("timestamp", [0, 1, (1 << 64) - 1])
def test_the_ends_of_the_range(timestamp: int) -> None:
    facts = decoded(timestamp)
    assert facts["unix_ms"] << 18 | facts["logical"] == timestamp
    assert facts["utc"][:4] in {"1970", "4199"}


def test_one_line_each_or_facts() -> None:
    head, first, second = show([262144, 1], "table").splitlines()
    assert head.split() == ["TIMESTAMP", "UTC", "LOCAL", "UNIX_MS", "LOGICAL"]
    assert [line.split()[0] for line in (first, second)] == ["262144", "1"]
    assert json.loads(show([1], "json"))["timestamps"][0]["logical"] == 1
