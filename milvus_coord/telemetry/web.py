"""What a management endpoint receives and answers."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

TEXT: Final = "text/plain; charset=utf-8"
JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Request:
    """One request: `path` is decoded, header names are lower-case, a flag in the query is `""`.

    `peer` is the client's IP address, "" when it is not known.
    """

    method: str
    path: str
    query: Mapping[str, Sequence[str]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    peer: str = ""


@dataclass(frozen=True, slots=True)
class Response:
    """One answer; the length and date are added by the server."""

    body: bytes
    status: int = 200
    content_type: str = TEXT
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Request], Awaitable[Response]]
Routes = Mapping[str, Mapping[str, Handler]]
"""path -> method -> handler; a handler of GET answers HEAD too."""


def text(body: str, status: int = 200) -> Response:
    """`body` as plain text in UTF-8."""
    return Response(body.encode("utf-8", "replace"), status)


def json_line(body: object, status: int = 200, content_type: str = JSON) -> Response:
    """`body` as compact JSON and a newline; what JSON does not know is shown as its `str`."""
    line = json.dumps(body, separators=(",", ":"), default=str) + "\n"
    return Response(line.encode(), status, content_type)
