"""The command line's parser: what was mistyped is answered with what may have been meant."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Iterable
from typing import Any, Final, NoReturn

_INVALID: Final = re.compile(r"invalid choice: '(?P<word>[^']*)' \(choose from (?P<choices>.*)\)$")
_UNKNOWN: Final = re.compile(r"^unrecognized arguments: (?P<word>--[\w-]+)")


class Parser(argparse.ArgumentParser):
    """Its errors end with "did you mean ...?" where a word is close to one that it knows.

    What a verb does not know is an error of that verb, with its usage.
    """

    def __init__(self, **settings: Any) -> None:
        self._options: list[str] = []
        super().__init__(**settings)

    def add_argument(self, *words: Any, **more: Any) -> argparse.Action:
        """As of the library; notes the options."""
        self._options += [word for word in words if word.startswith("--")]
        return super().add_argument(*words, **more)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """As of the library; but what is left over is an error here already."""
        found, left = super().parse_known_args(args, namespace)
        if left:
            self.error(f"unrecognized arguments: {' '.join(left)}")
        return found, left

    def error(self, message: str) -> NoReturn:
        """Print the usage and the message, exit with 2."""
        if found := _INVALID.search(message):
            message += did_you_mean(found["word"], re.findall(r"[\w-]+", found["choices"]))
        elif found := _UNKNOWN.match(message):
            message += did_you_mean(found["word"], self._options)
        super().error(message)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a message, "" when nothing is close: `, did you mean 'status'?`."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f", did you mean {close[0]!r}?" if close else ""
