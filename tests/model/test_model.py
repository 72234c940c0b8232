"""No promise of the election breaks within the bounds, and each known mistake breaks one."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from tests.model.checker import search
from tests.model.rules import Bounds, Rules
from tests.model.runs import MUTATIONS, SAFE_WITHOUT, SCENARIOS, Mutation, Scenario
from tests.model.trace import describe


def _named(bounds: Bounds) -> str:
    usual = asdict(Bounds())
    return ", ".join(f"{key} {n}" for key, n in asdict(bounds).items() if n != usual[key])


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_every_promise_holds(scenario: Scenario) -> None:
    verdict = search(Rules(), scenario.bounds, begin=scenario.begin, progress=True)
    assert not verdict.promise, f"\n{describe(verdict)}"
    assert verdict.worlds > 1000


@pytest.mark.parametrize("mutation", MUTATIONS.values(), ids=MUTATIONS)
def test_a_mistake_is_caught(mutation: Mutation) -> None:
    verdict = search(mutation.rules, mutation.bounds, progress=True)
    assert mutation.breaks in verdict.promise
    trace = describe(verdict)
    assert trace.endswith(f"=> {verdict.promise}")
    print(f"\n{trace}")


@pytest.mark.parametrize(
    "bounds", dict.fromkeys(each.bounds for each in MUTATIONS.values()), ids=_named
)
def test_what_is_caught_is_the_mistake(bounds: Bounds) -> None:
    verdict = search(Rules(), bounds, progress=True)
    assert not verdict.promise, f"\n{describe(verdict)}"


@pytest.mark.parametrize("without", SAFE_WITHOUT.values(), ids=SAFE_WITHOUT)
def test_what_can_be_missed_without_harm(without: Mutation) -> None:
    verdict = search(without.rules, without.bounds, progress=True)
    assert not verdict.promise, f"\n{describe(verdict)}"
