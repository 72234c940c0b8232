"""The same rootcoord with a mirror that goes wrong when an alias is called `lose` or `spoil`.

python -m testing.mirror_faulty run rootcoord
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

from milvus_coord.cli.main import main
from milvus_coord.etcd.values import Event
from milvus_coord.ha.mirror.mirror import Mirror
from testing.ours import OurRole


def faulty(role: OurRole) -> OurRole:
    """Let a role that is not started be of this kind."""
    role.argv[role.argv.index("milvus_coord")] = __spec__.name
    return role


def _break() -> None:
    apply = Mirror._apply

    def apply_badly(self: Mirror[Any], event: Event) -> None:
        if event.kv.key.endswith(b"/lose"):
            return
        apply(self, event)
        if event.kv.key.endswith(b"/spoil"):
            held = self.image.state._databases
            held[1] = replace(held[1], created_ns=held[1].created_ns + 1)

    Mirror._apply = apply_badly  # type: ignore[method-assign]


if __name__ == "__main__":
    _break()
    sys.exit(main())
