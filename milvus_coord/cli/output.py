"""What a verb prints: a table for people, or the same facts as JSON or YAML for programs."""

from __future__ import annotations

import json
from typing import Any, Final

FORMATS: Final = ("table", "json", "yaml")


def rendered(facts: Any, output: str, text: str, *, stream: bool = False) -> str:
    """`text` for "table"; for "json" and "yaml" the facts, which are what JSON can hold.

    In a stream each JSON document is one line, and each YAML document begins with `---`.
    """
    match output:
        case "json":
            indent = None if stream else 2
            return json.dumps(facts, indent=indent, ensure_ascii=False) + "\n"
        case "yaml":
            import yaml

            plain = json.loads(json.dumps(facts))  # YAML has words of its own for tuples
            return str(
                yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, explicit_start=stream)
            )
        case _:
            return text
