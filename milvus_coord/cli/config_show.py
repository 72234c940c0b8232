"""`milvus config show`: every setting in force and where it comes from."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from milvus_coord.cli import connection
from milvus_coord.cli.connection import DONE, Connection, Place
from milvus_coord.cli.output import rendered
from milvus_coord.config import ConfigError, Loaded, Origin, Settings, load
from milvus_coord.config.kinds import Text
from milvus_coord.config.section import Leaf, leaves, open_sections
from milvus_coord.model.redaction import without_logins
from milvus_coord.model.roles import SECTIONS


class _Row(NamedTuple):
    key: str
    value: str
    origin: str


def run(role: str, place: Place, output: str) -> int:
    """Print the settings; those stored in etcd go before all others. The exit code.

    Without etcd the others are printed, and the code is that of the failure.
    """

    async def print_all(connection: Connection) -> int:
        print(show(connection.loaded, output), end="")
        return DONE

    code = connection.run(print_all, place, role=role)
    if code != DONE:
        with suppress(ConfigError):  # it has been said
            print(show(load(role, config=place.config, environ=place.environ), output), end="")
            print("milvus: without what is stored in etcd, which goes before it", file=sys.stderr)
    return code


def show(loaded: Loaded, output: str = "table") -> str:
    """Print what `loaded.role` uses, in the order of config/milvus.yaml, secrets masked.

    JSON and YAML are one object: `role`, `file`, `settings` (key -> `value`, `source`, `name`,
    `line`; a value that is found out at run time is null), `warnings`, `notes`.
    """
    return rendered(_facts(loaded), output, _table(loaded))


def _used(loaded: Loaded) -> Iterator[Leaf]:
    """The keys of this role, without other coordinators' sections and unset older spellings."""
    others = set(SECTIONS.values()) - {SECTIONS[loaded.role]}
    for leaf in leaves(Settings):
        section = leaf.aliases[0]
        unset = section == "msgChannel" and leaf.of(loaded.settings) is None
        if section not in others and not unset:
            yield leaf


def _set_in_open_sections(loaded: Loaded) -> dict[str, str]:
    return {
        key: value
        for section in open_sections(Settings)
        for key, value in section.show(loaded.settings).items()
    }


def _table(loaded: Loaded) -> str:
    rows = [
        _Row(leaf.key, _text(leaf, loaded.settings), _source(leaf, loaded))
        for leaf in _used(loaded)
    ]
    for key, value in _set_in_open_sections(loaded).items():
        section = key.partition(".")[0]
        last = max(i for i, row in enumerate(rows) if row.key.partition(".")[0] == section)
        rows.insert(last + 1, _Row(key, Text().show(value), _short(loaded.origins[key])))
    head = _Row("KEY", "VALUE", "FROM")
    key_width = max(len(row.key) for row in [head, *rows])
    # One long value may stick out rather than push the last column off the screen for all.
    value_width = min(40, max(len(row.value) for row in [head, *rows]))

    lines = [f"{loaded.role}, {loaded.file or 'no configuration file'}", ""]
    section = rows[0].key.partition(".")[0]
    for row in [head, *rows]:
        if row is not head and section != row.key.partition(".")[0]:
            section = row.key.partition(".")[0]
            lines.append("")
        lines.append(f"{row.key:<{key_width}}  {row.value:<{value_width}}  {row.origin}".rstrip())
    for title, texts in (("Warnings", loaded.warnings), ("Ignored", loaded.notes)):
        if texts:
            lines += ["", f"{title}:", *(f"  {text}" for text in texts)]
    return "\n".join(lines) + "\n"


def _text(leaf: Leaf, settings: Settings) -> str:
    value = leaf.of(settings)
    if value is not None:
        return leaf.kind.show(value)
    if leaf.fields[-1] == "address":
        return "(first address of this host)"
    return f"(as grpc.{leaf.aliases[-1]})"


def _source(leaf: Leaf, loaded: Loaded) -> str:
    """The origin, and the default where something else is in force."""
    origin = _short(loaded.origins[leaf.key])
    differs = leaf.default is not None and leaf.of(loaded.settings) != leaf.default
    if leaf.kind.secret or not differs:
        return origin
    return f"{origin} (default {leaf.kind.show(leaf.default)})"


def _short(origin: Origin) -> str:
    """The origin without what the first line of the table says already."""
    match origin.source:
        case "file":
            return f"file, line {origin.line}"
        case "environment":
            return f"${origin.name}"
        case "etcd":
            return f"etcd {origin.name}"
        case "default":
            return "-"


def _clean(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_clean(each) for each in value]
    return without_logins(value) if isinstance(value, str) else value


def _facts(loaded: Loaded) -> dict[str, Any]:
    settings = {}
    for leaf in _used(loaded):
        value, origin = leaf.of(loaded.settings), loaded.origins[leaf.key]
        settings[leaf.key] = {
            "value": leaf.kind.show(value) if leaf.kind.secret else _clean(value),
            "source": origin.source,
            "name": origin.name,
            "line": origin.line,
        }
    for key, text in _set_in_open_sections(loaded).items():
        origin = loaded.origins[key]
        settings[key] = {
            "value": text,
            "source": origin.source,
            "name": origin.name,
            "line": origin.line,
        }
    return {
        "role": loaded.role,
        "file": str(loaded.file) if loaded.file else None,
        "settings": settings,
        "warnings": loaded.warnings,
        "notes": loaded.notes,
    }
