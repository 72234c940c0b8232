"""What the election needs to know of the configuration."""

from __future__ import annotations

from dataclasses import dataclass
from ssl import SSLContext
from typing import Final

from milvus_coord.ha.pair.leadership_record import LeadershipRecord, TermState

WRITE_S: Final = 2.0
"""How long one transaction may take, in seconds: a member that hangs must not hold an election up.

Past it the outcome is unknown, and is found out by reading. Longer than etcd takes to elect a
leader, which is 1 to 2 s by default.
"""


@dataclass(frozen=True, slots=True)
class HaSettings:
    """One role in one process.

    Attributes:
        title: the role as Milvus writes it in log lines ("RootCoord").
        address: what clients dial, "host:port".
        active_standby: `<role>.enableActiveStandby`.
        beat_s, challenge_s, early_per_minute, early_per_ten_minutes: see `ha.*` in milvus.yaml.
        management: where the management port answers, "host:port", or "".
        version: of milvus-coord.
        tls: how to reach the active's port when it has TLS.
    """

    role: str
    title: str
    meta_root: str
    address: str
    active_standby: bool
    session_ttl_s: int
    serve_lease_s: float
    beat_s: float
    challenge_s: float
    early_per_minute: int
    early_per_ten_minutes: int
    management: str = ""
    version: str = ""
    tls: SSLContext | None = None

    @property
    def switch(self) -> str:
        """The configuration key that turns pairs on, as a person writes it."""
        return f"{self.title[0].lower()}{self.title[1:]}.enableActiveStandby"

    def leadership(self, server_id: int, state: TermState, why: str = "") -> LeadershipRecord:
        """What this process writes into the leadership key about a term of its own."""
        serve_lease_ms = round(self.serve_lease_s * 1000)
        return LeadershipRecord(server_id, self.address, state, serve_lease_ms, why)
