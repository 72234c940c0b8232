"""From the configuration to the log of a process."""

from __future__ import annotations

from milvus_coord.config import Settings
from milvus_coord.telemetry import logsetup
from milvus_coord.telemetry.log import log
from milvus_coord.telemetry.logfile import LogFile
from milvus_coord.telemetry.logsetup import LogSettings


def log_to(settings: Settings, role: str, *, server_id: int | None) -> None:
    """Log as configured; the file's name holds the server id, so it begins when that is known."""
    wanted = settings.log
    file = None
    if wanted.file.root_path and server_id is not None:
        file = LogFile(
            root_path=wanted.file.root_path,
            name=f"{role}-{server_id}.log",
            max_size_mb=wanted.file.max_size_mb,
            max_age_days=wanted.file.max_age_days,
            max_backups=wanted.file.max_backups,
        )
    logsetup.configure(
        LogSettings(
            level=wanted.level,
            format=wanted.format,
            stdout=wanted.stdout or file is None,
            file=file,
        )
    )


def reopen() -> None:
    """Open the log file anew; trouble is logged."""
    try:
        logsetup.reopen()
    except OSError as error:
        log.warn("log file not reopened", error=str(error))
