"""What a coordinator needs of a message queue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from milvus_coord.model.errors import CoordError


class QueueError(CoordError):
    """A message is not in the queue as far as we know; it may be there after a timeout."""


class QueueUnusable(QueueError):
    """The queue cannot be used as it is set up; the text says what a person must mend."""


class Sender(Protocol):
    """Sends to channels.

    Messages of one channel that are sent one after the other are read in that order.
    """

    async def send(self, channel: str, payload: bytes) -> bytes:
        """Wait until the queue has stored the message and return its position.

        The position is in the bytes that Go 2.2.16 keeps in `start_positions`. Raises QueueError
        within `SEND_TIMEOUT_S` and a second. A caller that is cancelled does not take it back.
        """


class Queue(Sender, Protocol):
    """A client of a message queue; one instance lasts for one term."""

    async def prepare(self, channels: Sequence[str]) -> None:
        """Make channels ready, to spare their first message the wait. Raises QueueError.

        May be left out, and may be repeated.
        """

    async def close(self) -> None:
        """Send nothing more: messages not stored yet are dropped, and their senders told so.

        Returns when no thread of the client is left; may be repeated.
        """


SEND_TIMEOUT_S = 5.0
"""A message that is not stored by then is given up, so that none arrives long after its term."""
