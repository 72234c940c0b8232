"""What the election needs to know of the configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

WRITE_S: Final = 2.0
"""How long one transaction may take, in seconds: a member that hangs must not hold an election up.

Past it the outcome is unknown, and is found out by reading. Longer than etcd takes to elect a
leader, which is 1 to 2 s by default.
"""


@dataclass(frozen=True, slots=True)
class HaSettings:
    """One role in one process.

    `title` is the role as Milvus writes it in log lines ("RootCoord"), `address` what clients dial
    ("host:port"), `active_standby` is `<role>.enableActiveStandby`.
    """

    role: str
    title: str
    meta_root: str
    address: str
    active_standby: bool
    session_ttl_s: int
    serve_lease_s: float

    @property
    def switch(self) -> str:
        """The configuration key that turns pairs on, as a person writes it."""
        return f"{self.title[0].lower()}{self.title[1:]}.enableActiveStandby"
