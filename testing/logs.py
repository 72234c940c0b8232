"""Log files for tests."""

from __future__ import annotations

from pathlib import Path

from milvus_coord.telemetry.logfile import LogFile


def log_file(
    folder: Path | str,
    name: str,
    *,
    max_size_mb: int = 300,
    max_age_days: int = 10,
    max_backups: int = 20,
) -> LogFile:
    """A file in this folder, with the limits that a configuration has by default."""
    return LogFile(str(folder), name, max_size_mb, max_age_days, max_backups)
