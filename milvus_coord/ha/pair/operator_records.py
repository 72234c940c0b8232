"""What people ask of a pair through etcd: to pause, and to switch over."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from milvus_coord.ha.pair import json_record


@dataclass(frozen=True, slots=True)
class Pause:
    """The value of the pause key. `since_ms` is Unix time by the asker's clock."""

    by: str
    since_ms: int
    reason: str = ""

    def encode(self) -> bytes:
        return json_record.encode(self)

    @classmethod
    def decode(cls, key: bytes, value: bytes) -> Pause:
        """Raises BadValue that names key and value."""
        fields = json_record.fields_of(key, value)
        try:
            return cls(str(fields["by"]), int(fields["since_ms"]), str(fields["reason"]))
        except json_record.MALFORMED as error:
            raise json_record.unreadable(key, value, repr(error)) from error


class RequestState(Enum):
    """`ASKED -> ACCEPTED | REFUSED`; the active moves it, by a guarded write."""

    ASKED = "asked"
    ACCEPTED = "accepted"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class SwitchoverRequest:
    """The value of the switchover key, written on a lease of the asker.

    Attributes:
        nonce: tells this request from others.
        epoch: of the active that was meant; another active refuses it.
        to: server id of the standby that shall take over, 0 for any.
        by: who asks, for logs and history.
        state, why: what became of it, and why it was refused.
    """

    nonce: str
    epoch: int
    to: int
    by: str
    state: RequestState = RequestState.ASKED
    why: str = ""

    def encode(self) -> bytes:
        return json_record.encode(self)

    @classmethod
    def decode(cls, key: bytes, value: bytes) -> SwitchoverRequest:
        """Raises BadValue that names key and value."""
        fields = json_record.fields_of(key, value)
        try:
            return cls(
                nonce=str(fields["nonce"]),
                epoch=int(fields["epoch"]),
                to=int(fields["to"]),
                by=str(fields["by"]),
                state=RequestState(fields["state"]),
                why=str(fields["why"]),
            )
        except json_record.MALFORMED as error:
            raise json_record.unreadable(key, value, repr(error)) from error
