"""The command line's parser: what was mistyped is answered with what may have been meant."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Iterable
from typing import Any, ClassVar, Final, NoReturn

_INVALID: Final = re.compile(r"invalid choice: '(?P<word>[^']*)' \(choose from (?P<choices>.*)\)$")
_UNKNOWN: Final = re.compile(r"^unrecognized arguments: (?P<word>--[\w-]+)")


class Parser(argparse.ArgumentParser):
    """Its errors end with "did you mean ...?" where a word is close to one that is known."""

    options: ClassVar[set[str]] = set()
    """Of all parsers: the first one finds what none of them knows."""

    def add_argument(self, *words: Any, **more: Any) -> argparse.Action:
        """As of the library; notes the options."""
        Parser.options.update(word for word in words if word.startswith("--"))
        return super().add_argument(*words, **more)

    def error(self, message: str) -> NoReturn:
        """Print the usage and the message, exit with 2."""
        if found := _INVALID.search(message):
            message += did_you_mean(found["word"], re.findall(r"[\w-]+", found["choices"]))
        elif found := _UNKNOWN.match(message):
            message += did_you_mean(found["word"], self.options)
        super().error(message)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a message, "" when nothing is close: `, did you mean 'status'?`."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f", did you mean {close[0]!r}?" if close else ""
