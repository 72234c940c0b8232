"""Settings in force as plain key-value texts, for those who ask over the wire."""

from __future__ import annotations

from milvus_coord.config.kinds import Secret
from milvus_coord.config.section import leaves
from milvus_coord.config.settings import Settings
from milvus_coord.model.redaction import without_logins


def listing(settings: Settings, prefix: str) -> list[tuple[str, str]]:
    """Keys that begin with `prefix`, in lower case as Go 2.2.16 lists them, without secrets."""
    found = []
    for leaf in leaves(Settings):
        value = leaf.of(settings)
        if value is None or isinstance(leaf.kind, Secret):
            continue
        if leaf.key.lower().startswith(prefix.lower()):
            text = str(value).lower() if isinstance(value, bool) else _plain(value)
            found.append((leaf.key.lower(), text))
    return found


def _plain(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return without_logins(",".join(map(str, value)) if isinstance(value, tuple) else str(value))
