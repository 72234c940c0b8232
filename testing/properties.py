"""How many examples property tests try, and which: PROPERTIES=gate (the default) or fresh.

| profile | examples | chosen by |
|---|---|---|
| gate | as many as each test says | the test's name alone: a run proves what the last one did |
| fresh | `FRESH` times as many | chance; a failure prints what plays it again |

No example has a deadline: a busy machine is no defect.
"""

from __future__ import annotations

import os
from typing import Final

from hypothesis import HealthCheck, settings

FRESH: Final = 30
"""`scripts/chaos --properties` tries so many times as many examples as the gate."""

_DEFAULT_EXAMPLES: Final = 100
_fresh: Final = os.environ.get("PROPERTIES", "gate") == "fresh"


def load_profile() -> None:
    """Make the profile the default of every property test that is imported from now on.

    Raises:
        hypothesis.errors.InvalidArgument: PROPERTIES names no profile.
    """
    patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.register_profile("gate", patient, derandomize=True, database=None)
    settings.register_profile("fresh", patient, max_examples=examples(_DEFAULT_EXAMPLES))
    settings.load_profile(os.environ.get("PROPERTIES", "gate"))


def examples(gate: int) -> int:
    """How many examples a test tries that tries `gate` of them in the gate."""
    return gate * FRESH if _fresh else gate
