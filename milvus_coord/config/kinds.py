"""What a key's text may be and how it is read: one small value per kind, for `Annotated`."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final

from pydantic import GetCoreSchemaHandler, SecretStr
from pydantic_core import CoreSchema, core_schema

from milvus_coord.config.address import is_wildcard, join_address, split_address
from milvus_coord.model.redaction import MASK, without_logins

WHOLE: Final = re.compile(r"[+-]?[0-9]{1,18}")
REAL: Final = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_HTTPS: Final = "https://"
_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})


def quoted(text: str) -> str:
    """`text` between double quotes, long ones cut, with escapes for what a terminal would obey.

    Logins in addresses are masked, before anything is cut.
    """
    text = without_logins(text)
    text = text if len(text) <= 80 else f"{text[:77]}..."
    return json.dumps(text, ensure_ascii=not text.isprintable())


@dataclass(frozen=True, slots=True)
class Kind:
    """Reads the text of one key. Every source hands in text: YAML scalars as they are written."""

    secret = False

    @property
    def allowed(self) -> str:
        """What is allowed, to follow the word "must be" in an error message."""
        raise NotImplementedError

    def parse(self, text: str) -> object:
        """The value of `text`. Raises ValueError(allowed) when it is not legal."""
        raise NotImplementedError

    def show(self, value: Any) -> str:
        """`value` for people."""
        return without_logins(str(value))

    def quote(self, text: str) -> str:
        """`text`, which may be illegal, for an error message."""
        return quoted(text)

    def __get_pydantic_core_schema__(self, _: object, __: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.parse)


@dataclass(frozen=True, slots=True)
class Whole(Kind):
    """A decimal whole number in `low..high`, without blanks, as Go reads it."""

    low: int
    high: int | None = None
    unit: str = ""

    @property
    def allowed(self) -> str:
        number = f"a whole number of {self.unit}" if self.unit else "a whole number"
        if self.high is None:
            return f"{number}, {self.low} or more"
        return f"{number} from {self.low} to {self.high}"

    def parse(self, text: str) -> int:
        if not WHOLE.fullmatch(text):
            raise ValueError(self.allowed)
        value = int(text)
        if value < self.low or (self.high is not None and value > self.high):
            raise ValueError(self.allowed)
        return value

    def show(self, value: Any) -> str:
        if self.unit == "bytes" and value and value % (1 << 20) == 0:
            return f"{value} bytes ({value >> 20} MiB)"
        return f"{value} {self.unit}".rstrip()


@dataclass(frozen=True, slots=True)
class Real(Kind):
    """A decimal number, greater than `above` and at most `high` where those are given."""

    above: float | None = None
    high: float | None = None
    unit: str = ""

    @property
    def allowed(self) -> str:
        number = f"a number of {self.unit}" if self.unit else "a number"
        if self.above is not None and self.high is not None:
            return f"{number} above {self.above:g}, at most {self.high:g}"
        return number

    def parse(self, text: str) -> float:
        if not REAL.fullmatch(text):
            raise ValueError(self.allowed)
        value = float(text)
        too_low = self.above is not None and value <= self.above
        if not isfinite(value) or too_low or (self.high is not None and value > self.high):
            raise ValueError(self.allowed)
        return value

    def show(self, value: Any) -> str:
        return f"{value:g} {self.unit}".rstrip()


@dataclass(frozen=True, slots=True)
class Flag(Kind):
    """A boolean, spelled as Go's strconv.ParseBool takes it."""

    @property
    def allowed(self) -> str:
        return "true or false (also 1, t, T, TRUE, True, 0, f, F, FALSE, False)"

    def parse(self, text: str) -> bool:
        if text in _TRUE:
            return True
        if text in _FALSE:
            return False
        raise ValueError(self.allowed)

    def show(self, value: Any) -> str:
        return "true" if value else "false"


@dataclass(frozen=True, slots=True)
class Text(Kind):
    """Any text, the empty one too."""

    @property
    def allowed(self) -> str:
        return "one text"

    def parse(self, text: str) -> str:
        return text

    def show(self, value: str) -> str:
        return without_logins(value) if value and value.isprintable() else quoted(value)


@dataclass(frozen=True, slots=True)
class Word(Kind):
    """A part of an etcd key or of a topic: not empty, no blanks, not slashes alone."""

    @property
    def allowed(self) -> str:
        return "a name without blanks, not empty"

    def parse(self, text: str) -> str:
        if not text.strip("/") or not text.isprintable() or " " in text:
            raise ValueError(self.allowed)
        return text


@dataclass(frozen=True, slots=True)
class Choice(Kind):
    """One of a few words, in any case; the value is the word in lower case."""

    words: tuple[str, ...]

    @property
    def allowed(self) -> str:
        return f"one of {', '.join(self.words)}" if len(self.words) > 1 else self.words[0]

    def parse(self, text: str) -> str:
        word = text.lower()
        if word not in self.words:
            raise ValueError(self.allowed)
        return word


@dataclass(frozen=True, slots=True)
class Endpoints(Kind):
    """Comma-separated `host:port`; a leading `http://`, which Go takes too, is cut off.

    `https://` stays: such an endpoint is called over TLS, with the machine's own roots where
    `etcd.ssl` is not enabled, as etcd's Go client 3.5 does.
    """

    @property
    def allowed(self) -> str:
        return "host:port, several separated by commas"

    def parse(self, text: str) -> tuple[str, ...]:
        return tuple(self._one(part.strip()) for part in text.split(","))

    def show(self, value: Any) -> str:
        return without_logins(",".join(value))

    def _one(self, text: str) -> str:
        try:
            address = text.removeprefix(_HTTPS).removeprefix("http://").removesuffix("/")
            host, port = split_address(address)
        except ValueError:
            raise ValueError(self.allowed) from None
        if port is None:
            raise ValueError(self.allowed)
        return (_HTTPS if text.startswith(_HTTPS) else "") + join_address(host, port)


@dataclass(frozen=True, slots=True)
class Advertise(Kind):
    """The address others are told to connect to: `host` or `host:port`; the value is the text."""

    @property
    def allowed(self) -> str:
        return "host or host:port that others can reach ([...] around IPv6, not 0.0.0.0)"

    def parse(self, text: str) -> str:
        try:
            host, _ = split_address(text)
        except ValueError:
            raise ValueError(self.allowed) from None
        if is_wildcard(host):
            raise ValueError(self.allowed)
        return text


@dataclass(frozen=True, slots=True)
class Secret(Kind):
    """Text that is never printed."""

    secret = True

    @property
    def allowed(self) -> str:
        return "one text"

    def parse(self, text: str) -> SecretStr:
        return SecretStr(text)

    def show(self, value: Any) -> str:
        return MASK if value.get_secret_value() else '""'

    def quote(self, text: str) -> str:
        return MASK
