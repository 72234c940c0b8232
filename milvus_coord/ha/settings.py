"""What the election needs to know of the configuration."""

from __future__ import annotations

from dataclasses import dataclass


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
