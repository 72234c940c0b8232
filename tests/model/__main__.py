"""`python -m tests.model [--deep] [--mutations]`: search, and say what was found."""

from __future__ import annotations

import argparse
import sys

from tests.model.checker import search
from tests.model.rules import Rules
from tests.model.runs import DEEP, MUTATIONS, SCENARIOS
from tests.model.trace import describe


def main() -> int:
    """Exit code 1 when a promise breaks that should hold, or a mutation is not caught."""
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--deep", action="store_true", help="wider bounds as well; some minutes")
    parser.add_argument("--mutations", action="store_true", help="tell how each mistake ends")
    asked = parser.parse_args()
    wrong = 0
    for title, scenario in {**SCENARIOS, **(DEEP if asked.deep else {})}.items():
        verdict = search(Rules(), scenario.bounds, begin=scenario.begin, progress=True)
        found = verdict.promise or "holds"
        print(f"{title}: {found}; {verdict.worlds} worlds, {verdict.seconds:.1f} s", flush=True)
        if verdict.promise:
            wrong += 1
            print(describe(verdict))
    for title, mutation in MUTATIONS.items() if asked.mutations else ():
        verdict = search(mutation.rules, mutation.bounds, progress=True)
        print(f"\n{title} ({verdict.worlds} worlds, {verdict.seconds:.1f} s)")
        if mutation.breaks in verdict.promise:
            print(describe(verdict))
        else:
            wrong += 1
            print(f"  NOT CAUGHT: {verdict.promise or 'nothing broke'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
