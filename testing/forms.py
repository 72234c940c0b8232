"""Two forms of what tests repeat: FORM=short, the default, in the gate; FORM=long in scripts/chaos.

| form | repeats | examples of a property test |
|---|---|---|
| short | few | as many as it says, the same ones in each run |
| long | many | `MORE_EXAMPLES` times as many, chosen by chance; a failure prints its example |

No example has a deadline: a busy machine is no defect.
"""

from __future__ import annotations

import os
from typing import Final, TypeVar

from hypothesis import HealthCheck, settings

MORE_EXAMPLES: Final = 30

_DEFAULT_EXAMPLES: Final = 100
_FORM: Final = os.environ.get("FORM", "short")

T = TypeVar("T")


def pick(short: T, long: T) -> T:
    """The one that fits the form. Mark a test that asks with `@pytest.mark.long_form`."""
    return long if _FORM == "long" else short


def examples(short: int) -> int:
    """How many examples a property test tries that tries `short` of them in the gate."""
    return pick(short, short * MORE_EXAMPLES)


def load_profile() -> None:
    """Make the form the default of every property test that is imported from now on.

    Raises:
        hypothesis.errors.InvalidArgument: FORM is no form.
    """
    patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.register_profile("short", patient, derandomize=True, database=None)
    settings.register_profile("long", patient, max_examples=examples(_DEFAULT_EXAMPLES))
    settings.load_profile(_FORM)
