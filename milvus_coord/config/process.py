"""`log.*` and `ha.*`: how the process logs, and the times of our own failover."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr

from milvus_coord.config.etcd import LEVELS
from milvus_coord.config.fallback import Fallback, always, anything, below, empty, zero
from milvus_coord.config.kinds import Choice, Flag, Secret, Text, Whole
from milvus_coord.config.section import Section


class LogFile(Section):
    """`log.file.*`: rotation; no file is written while rootPath is empty."""

    root_path: Annotated[str, Text()] = ""
    max_size_mb: Annotated[int, Whole(1, unit="MB"), Fallback(zero)] = Field(
        default=300, alias="maxSize"
    )
    max_age_days: Annotated[int, Whole(0, unit="days"), Fallback(below(0), always("0"))] = Field(
        default=10, alias="maxAge"
    )
    max_backups: Annotated[int, Whole(0), Fallback(below(0), always("0"))] = 20


class Log(Section):
    """`log.*`."""

    level: Annotated[str, Choice(LEVELS), Fallback(empty)] = "info"
    format: Annotated[str, Choice(("text", "json"))] = "text"
    stdout: Annotated[bool, Flag(), Fallback(anything)] = True
    file: LogFile = LogFile()


class HaTls(Section):
    """`ha.tls.*`: TLS between coordinators; mode 0 is plain, 1 checks the server, 2 both sides.

    Milvus' own `common.security.tlsMode` and `tls.*` are of the proxy's port alone (Go 2.2.16).
    """

    mode: Annotated[int, Whole(0, 2)] = 0
    server_pem_path: Annotated[str, Text()] = "configs/cert/server.pem"
    server_key_path: Annotated[str, Text()] = "configs/cert/server.key"
    ca_pem_path: Annotated[str, Text()] = "configs/cert/ca.pem"


class Ha(Section):
    """`ha.*`: keys of this project; Milvus has none of them and ignores them."""

    serve_lease_ms: Annotated[int, Whole(100, 60_000, unit="ms")] = Field(
        default=1000, alias="serveLease"
    )
    beat_interval_ms: Annotated[int, Whole(10, 10_000, unit="ms")] = Field(
        default=100, alias="beatInterval"
    )
    challenge_timeout_ms: Annotated[int, Whole(50, 3_000, unit="ms")] = Field(
        default=300, alias="challengeTimeout"
    )
    early_replacements_per_minute: Annotated[int, Whole(0, 100_000)] = Field(
        default=1, alias="earlyReplacementsPerMinute"
    )
    early_replacements_per_ten_minutes: Annotated[int, Whole(0, 1_000_000)] = Field(
        default=3, alias="earlyReplacementsPerTenMinutes"
    )
    tls: HaTls = HaTls()
    management_address: Annotated[str, Text()] = ""
    management_token: Annotated[SecretStr, Secret()] = SecretStr("")
