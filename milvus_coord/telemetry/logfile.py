"""A log file that rotates by size and prunes its backups by age and count, as lumberjack does."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

_STAMP: Final = "%Y-%m-%dT%H-%M-%S"
_MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class LogFile:
    """Where a process logs to and how much of it is kept; 0 means no limit for age and count.

    Backups are `rootcoord-19-2026-11-23T05-38-37.301.log` (local time) beside `rootcoord-19.log`.
    """

    root_path: str
    name: str
    max_size_mb: int
    max_age_days: int
    max_backups: int

    def __post_init__(self) -> None:
        if not self.root_path or not self.name or "/" in self.name:
            raise ValueError(f"a log file needs a folder and a plain name, got {self}")
        if self.max_size_mb < 1 or self.max_age_days < 0 or self.max_backups < 0:
            raise ValueError(f"the limits of a log file must not be negative, got {self}")


class RotatingFile:
    """The sink behind a `LogFile`; folder and file are made when missing.

    A full disk costs lines, and a file that was moved or removed is written on until `reopen`.
    Raises OSError naming the path when it cannot be opened at first.
    """

    def __init__(self, file: LogFile, *, now: Callable[[], datetime] = datetime.now) -> None:
        self._path = Path(file.root_path) / file.name
        self._max_bytes = file.max_size_mb * _MIB
        self._max_age = timedelta(days=file.max_age_days)
        self._max_backups = file.max_backups
        self._now = now
        self._fd = -1
        self._size = self._rotate_at = 0
        self._torn = False
        self.reopen()

    def write(self, line: str) -> bool:
        """Append `line`, rotating first when it would not fit; False when it is lost."""
        data = line.encode("utf-8", "replace")
        try:
            if self._fd < 0:
                return False
            if self._size and self._size + len(data) > self._rotate_at:
                self._rotate()
            self._put(b"\n" + data if self._torn else data)
        except OSError:
            return False
        return True

    def reopen(self) -> None:
        """Open the path anew and keep what it holds. Raises OSError; then the old file stays."""
        try:
            self._path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            fd = os.open(self._path, flags, 0o640)
        except OSError as error:
            why = f"cannot write the log file: {error.strerror}"
            raise OSError(error.errno, why, str(self._path)) from error
        self.close()
        self._fd = fd
        self._size = os.fstat(fd).st_size
        self._torn = self._torn and self._size > 0
        self._rotate_at = self._max_bytes
        self._prune()

    def close(self) -> None:
        """Close the descriptor; lines written after that are lost."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _put(self, data: bytes) -> None:
        sent = 0
        try:
            while sent < len(data):
                sent += os.write(self._fd, data[sent:])
        finally:
            self._size += sent
            if sent:
                self._torn = sent < len(data)

    def _rotate(self) -> None:
        try:
            if self._owns_path():
                self._path.rename(self._free_backup())
            self.reopen()
        except OSError:  # better one file too large than no log
            self._rotate_at = self._size + self._max_bytes

    def _owns_path(self) -> bool:
        try:
            there, ours = os.stat(self._path), os.fstat(self._fd)
        except FileNotFoundError:
            return False
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)

    def _free_backup(self) -> Path:
        now = self._now()
        while (backup := self._backup_of(now)).exists():
            now += timedelta(milliseconds=1)
        return backup

    def _backup_of(self, taken: datetime) -> Path:
        stamp = f"{taken.strftime(_STAMP)}.{taken.microsecond // 1000:03}"
        return self._path.with_name(f"{self._path.stem}-{stamp}{self._path.suffix}")

    def _prune(self) -> None:
        oldest = self._now() - self._max_age if self._max_age else datetime.min
        kept = 0
        for taken, backup in sorted(self._backups(), reverse=True):
            if taken >= oldest and (kept < self._max_backups or not self._max_backups):
                kept += 1
                continue
            try:
                backup.unlink()
            except OSError:
                continue  # tried again at the next rotation

    def _backups(self) -> list[tuple[datetime, Path]]:
        head, tail = re.escape(self._path.stem), re.escape(self._path.suffix)
        pattern = re.compile(rf"{head}-(\d{{4}}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{{3}}){tail}")
        found = []
        try:
            names = os.listdir(self._path.parent)
        except OSError:
            return []
        for name in names:
            match = pattern.fullmatch(name)
            if match is None:
                continue
            try:
                found.append(
                    (datetime.strptime(match.group(1), f"{_STAMP}.%f"), self._path.with_name(name))
                )
            except ValueError:
                continue  # digits that are no date: not ours
        return found
