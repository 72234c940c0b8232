"""What a leader of ours leaves in etcd about its term, for the one that comes after it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from milvus_coord.ha.pair import json_record

SERVE_LEASE_MS_MAX: Final = 60_000
"""The longest that can be configured: nobody waits longer for a leader before."""


class TermState(Enum):
    """`HELD -> CLEAR -> RELEASED`, or from `HELD` no further.

    `CLEAR` says that the leader before has certainly stopped: until then even the certain end of
    this one proves nothing about that one. `RELEASED` says that this leader, too, has stopped all
    its effects.
    """

    HELD = "held"
    CLEAR = "clear"
    RELEASED = "released"


@dataclass(frozen=True, slots=True)
class LeadershipRecord:
    """The value of the leadership key: JSON, written by the transactions that begin and end a term.

    `serve_lease_ms` is the longest time that its leader may go on answering unnoticed; `why` the
    value of a `Cause`, for a term that was released. `stop_ms` is how long its leader had refused
    work by then, None when that is unknown; `at_ms` is Unix time of then, by its clock.
    """

    server_id: int
    address: str
    state: TermState
    serve_lease_ms: int
    why: str = ""
    stop_ms: int | None = None
    at_ms: int = 0

    def encode(self) -> bytes:
        return json_record.encode(self)

    @classmethod
    def decode(cls, key: bytes, value: bytes) -> LeadershipRecord:
        """Raises BadValue that names key and value."""
        fields = json_record.fields_of(key, value)
        try:
            return cls(
                server_id=json_record.whole(fields["server_id"]),
                address=json_record.text(fields["address"]),
                state=TermState(fields["state"]),
                serve_lease_ms=json_record.whole(fields["serve_lease_ms"], SERVE_LEASE_MS_MAX),
                why=json_record.text(fields.get("why", "")),
                stop_ms=json_record.maybe_whole(fields.get("stop_ms")),
                at_ms=json_record.unix_ms(fields.get("at_ms", 0)),
            )
        except json_record.MALFORMED as error:
            raise json_record.unreadable(key, value, repr(error)) from error
