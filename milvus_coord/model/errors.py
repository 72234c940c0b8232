"""The tree of errors; each knows the Milvus error code that the RPC edge answers with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar


class CoordError(Exception):
    """Base of every error that is ours.

    `code` is the number of `milvus.proto.common.ErrorCode`; 1 is UnexpectedError.
    """

    code: ClassVar[int] = 1


class NotServing(CoordError):
    """Not allowed to answer right now; a client should look the coordinator up again."""

    code = 56


class FencedOff(NotServing):
    """A write was refused because this process no longer holds the role."""


class BadValue(CoordError):
    """A stored value is not what its key promises; the text names key and value."""


class IllegalMove(CoordError):
    """A state machine was asked for a move that its table does not have: a bug.

    `event` is what asked for the move, `story` what had happened to the subject before.
    """

    def __init__(
        self,
        subject: str,
        current: object,
        wanted: object,
        *,
        event: str = "",
        story: Iterable[object] = (),
    ) -> None:
        text = f"{subject} cannot go from {current} to {wanted}"
        if event:
            text += f" on {event!r}"
        if past := "; ".join(map(str, story)):
            text += f", its story: {past}"
        super().__init__(text)


class NotFound(CoordError):
    """Something that a request names is not there."""


class CollectionNotFound(NotFound):
    """The words are Go 2.2.16's: pymilvus and datacoord look for `can't find collection`."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"code: CollectionNotExists, reason: {reason}")


class Refused(CoordError):
    """A request breaks a rule; nothing was changed."""
