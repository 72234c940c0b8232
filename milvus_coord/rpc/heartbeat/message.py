"""A beat of an active coordinator, and the ways in which listening for beats ends."""

from __future__ import annotations

from dataclasses import dataclass

from milvus_coord.model.errors import CoordError


@dataclass(frozen=True, slots=True)
class Beat:
    """A sign of life, sent from the main loop of the active.

    Attributes:
        server_id: whose it is.
        epoch: the term in which it was sent.
        worst_lag_s: how long its main loop has stood still of late, at the worst.
        unproven_s: age of the last proof of its serve lease; `inf` when there was none yet.
    """

    server_id: int
    epoch: int
    worst_lag_s: float
    unproven_s: float


class BeatsEnded(CoordError):
    """A stream of beats ended: the connection was closed or reset, or the server said so."""


class BeatsRefused(CoordError):
    """Connecting is refused: nobody listens there."""


class BeatsUnreachable(CoordError):
    """No beat came: no route, no answer in time, no TLS, or a server that has none for us."""
