"""What people ask of a pair through etcd: to pause, and to switch over."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from milvus_coord.ha.pair import json_record


@dataclass(frozen=True, slots=True)
class Pause:
    """The value of the pause key.

    `since_ms` and `until_ms` are Unix time by the asker's clock; `until_ms` is 0 for a pause that
    somebody must end. One that ends by itself hangs on a lease of its own, which says when.
    """

    by: str
    since_ms: int
    reason: str = ""
    until_ms: int = 0

    def encode(self) -> bytes:
        return json_record.encode(self)

    @classmethod
    def decode(cls, key: bytes, value: bytes) -> Pause:
        """Raises BadValue that names key and value."""
        fields = json_record.fields_of(key, value)
        try:
            return cls(
                by=json_record.text(fields["by"]),
                since_ms=json_record.unix_ms(fields["since_ms"]),
                reason=json_record.text(fields["reason"]),
                until_ms=json_record.unix_ms(fields.get("until_ms", 0)),
            )
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
        reason: why the asker wants it, for the history.
    """

    nonce: str
    epoch: int
    to: int
    by: str
    state: RequestState = RequestState.ASKED
    why: str = ""
    reason: str = ""

    def encode(self) -> bytes:
        return json_record.encode(self)

    @classmethod
    def decode(cls, key: bytes, value: bytes) -> SwitchoverRequest:
        """Raises BadValue that names key and value."""
        fields = json_record.fields_of(key, value)
        try:
            return cls(
                nonce=json_record.text(fields["nonce"]),
                epoch=json_record.whole(fields["epoch"]),
                to=json_record.whole(fields["to"]),
                by=json_record.text(fields["by"]),
                state=RequestState(fields["state"]),
                why=json_record.text(fields["why"]),
                reason=json_record.text(fields.get("reason", "")),
            )
        except json_record.MALFORMED as error:
            raise json_record.unreadable(key, value, repr(error)) from error
