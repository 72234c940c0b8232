"""Where a value comes from."""

from __future__ import annotations

from dataclasses import dataclass

from milvus_coord.config.section import SourceName


@dataclass(frozen=True, slots=True)
class Origin:
    """`name` is the variable, the file's path or the etcd key; `line`, for files, counts from 1."""

    source: SourceName
    name: str = ""
    line: int | None = None

    def __str__(self) -> str:
        match self.source:
            case "environment":
                return f"environment variable {self.name}"
            case "file":
                return f"file {self.name}" + (f" line {self.line}" if self.line else "")
            case "etcd":
                return f"etcd {self.name}"
            case "default":
                return "built-in default"


DEFAULT = Origin("default")


@dataclass(frozen=True, slots=True, repr=False)
class Entry:
    """One text as a source holds it. Has no repr: the text may be a password."""

    text: str
    origin: Origin
