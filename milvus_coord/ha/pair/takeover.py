"""One takeover: who took over from whom, when, why, and how long each phase took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from milvus_coord.ha.pair import json_record

_MILLIS_MAX: Final = 1e12
"""Thirty years."""


class Cause(Enum):
    """Why a term began. The `early` ones replaced an active whose process was not proven dead."""

    FIRST = "first"  # nobody is known to have led before
    STOPPED = "stopped"  # the active was told to end, and gave the active key up
    SWITCHOVER = "switchover"  # a person asked for it
    FAILED = "failed"  # the active could not go on, and gave the active key up
    PROCESS_DIED = "process-died"  # the kernel says so
    UNREACHABLE = "unreachable"  # connecting was refused, and the challenge was not answered
    SILENT = "silent"  # no beats came, and the challenge was not answered
    UNPROVEN = "unproven"  # its beats said that it cannot reach etcd, and so did the challenge
    LEASE_ENDED = "lease-ended"  # the active key vanished with its lease, or by hand
    JUNK = "junk"  # the active key held no session on any lease
    REGAINED = "regained"  # the active key hung on our own lease: won before, the answer was lost

    @property
    def early(self) -> bool:
        """Whether damping counts it."""
        return self in _EARLY


_EARLY = frozenset({Cause.UNREACHABLE, Cause.SILENT, Cause.UNPROVEN})


@dataclass(frozen=True, slots=True)
class Takeover:
    """The value of a history key.

    Attributes:
        epoch: revision of the transaction that won the active key.
        server_id, address: who won it.
        from_server_id, from_address: who held it before; 0 and "" when nobody is known.
        cause: why.
        at_ms: Unix time in milliseconds when the active key was won, by the winner's clock.
        phases: milliseconds of each phase in order, such as "stop", "detect", "claim", "recover",
            "wait", "serve"; written when the term serves, empty before.
        served: whether the term came to serve.
        asked_by, reason: of a switchover, who asked for it and why; else "".
    """

    epoch: int
    server_id: int
    address: str
    from_server_id: int
    from_address: str
    cause: Cause
    at_ms: int
    phases: Mapping[str, float] = field(default_factory=dict)
    served: bool = False
    asked_by: str = ""
    reason: str = ""

    @property
    def without_service_ms(self) -> float | None:
        """From the last good sign of the leader before until this one served.

        None while it does not serve, and when nobody saw the one before end: it is longer then
        than all phases together.
        """
        seen = "detect" in self.phases
        return round(sum(self.phases.values()), 3) if self.served and seen else None

    def encode(self) -> bytes:
        return json_record.encode(self)

    @classmethod
    def decode(cls, key: bytes, value: bytes) -> Takeover:
        """Raises BadValue that names key and value."""
        fields = json_record.fields_of(key, value)
        try:
            return cls(
                epoch=json_record.whole(fields["epoch"]),
                server_id=json_record.whole(fields["server_id"]),
                address=json_record.text(fields["address"]),
                from_server_id=json_record.whole(fields["from_server_id"]),
                from_address=json_record.text(fields["from_address"]),
                cause=Cause(fields["cause"]),
                at_ms=json_record.unix_ms(fields["at_ms"]),
                phases={
                    json_record.text(name): _millis(ms) for name, ms in fields["phases"].items()
                },
                served=fields["served"] is True,
                asked_by=json_record.text(fields.get("asked_by", "")),
                reason=json_record.text(fields.get("reason", "")),
            )
        except json_record.MALFORMED as error:
            raise json_record.unreadable(key, value, repr(error)) from error


def _millis(value: object) -> float:
    if not isinstance(value, int | float) or not 0 <= value <= _MILLIS_MAX:
        raise TypeError(f"a {type(value).__name__} that is no length of time")
    return float(value)
