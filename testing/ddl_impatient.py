"""The same rootcoord with shorter patience: what takes it half a minute, or twenty, takes seconds.

python -m testing.ddl_impatient run rootcoord
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Final

from milvus_coord.cli.main import main
from milvus_coord.coordinators.rootcoord import outbound as reach
from milvus_coord.coordinators.rootcoord import term as leadership
from milvus_coord.coordinators.rootcoord.collections.cleanup_steps import CleanupTimes
from testing.ours import OurRole

ANSWER_S: Final = 3.0
"""How long a proxy or datacoord may take; 25 s in fact."""
_GARBAGE_S: Final = 0.5
"""After how long datacoord is asked whether a dropped collection's data is gone; 20 minutes."""


def impatient(role: OurRole) -> OurRole:
    """Let a role that is not started be of this kind."""
    role.argv[role.argv.index("milvus_coord")] = __spec__.name
    return role


def _shorten() -> None:
    times = CleanupTimes(gc_first_s=_GARBAGE_S, gc_every_s=_GARBAGE_S, retry_first_s=0.1)
    for module, name, changes in (
        (reach, "Proxies", {"tell_s": ANSWER_S}),
        (reach, "DataCoordClient", {"timeout_s": ANSWER_S}),
        (leadership, "Ddl", {"cleanup_times": times}),
    ):
        setattr(module, name, partial(getattr(module, name), **changes))


if __name__ == "__main__":
    _shorten()
    sys.exit(main())
