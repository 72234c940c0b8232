"""Takeovers of a whole role with as many keys as `mirror_scale` has, beside one that has none.

The role is nothing but its mirror: four prefixes, records of FieldBinlogs, no work of its own. A
pair of processes hands over (SIGTERM) and is killed (SIGKILL) in turns; printed is how long it
takes until the other one says that it is active, asked every other millisecond.

    python -m benchmarks.mirror_takeover --keys 800000 --rounds 10
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from functools import partial
from pathlib import Path
from typing import Any, Final

from benchmarks.mirror_scale import IMAGES, ROOMS, fill
from benchmarks.report import table
from benchmarks.takeovers import HEAD, rows, takeovers
from milvus_coord.app.roles import ROLES
from milvus_coord.cli.main import main as milvus
from milvus_coord.ha.mirror.image import Mirrored
from milvus_coord.ha.mirror.mirror import Mirror
from milvus_coord.ha.pair.keys import Keys
from milvus_coord.model.roles import SECTIONS
from milvus_coord.pb.milvus.proto import index
from milvus_coord.role.rpcs.contract import Contract
from milvus_coord.role.rpcs.family import Answering
from milvus_coord.role.rpcs.info import ComponentRpcs
from milvus_coord.role.rpcs.waiting import Refusals
from milvus_coord.role.shape import Coordinator, RoleContext, Shape
from milvus_coord.role.term import RoleTerm
from milvus_coord.rpc.server.dispatcher import Service
from milvus_coord.runtime.taskgroup import TaskGroup
from testing.etcd import EtcdMember
from testing.ours import NEVER_EARLY, OurRole

ROLE: Final = "tinycoord"
LOADED_S: Final = 60.0


class BareTerm(RoleTerm):
    """A term in which nothing is to be done."""

    def __init__(
        self, context: RoleContext, answering: Answering, mirror: Mirror[Any], term: Any
    ) -> None:
        super().__init__(context, term, mirror)
        self._answering = answering

    def services(self, tasks: TaskGroup) -> tuple[Service, ...]:
        return (ComponentRpcs(self._answering),)


def mirrored(meta_root: str) -> Mirrored[Any]:
    """The prefixes that `mirror_scale.fill` writes to."""
    prefixes = tuple(f"{meta_root}/{room}/".encode() for room in ROOMS)
    return Mirrored(prefixes, Keys(meta_root, ROLE).ha, IMAGES["decoded"])


def build(context: RoleContext) -> Coordinator:
    """The role of one process."""
    answering = Answering(Contract(ROLE, index.IndexCoordBase()), context.lifecycle)
    mirror = Mirror(context.etcd, context.clock, mirrored(context.settings.etcd.meta_root))
    waiting = (Refusals(answering), ComponentRpcs(answering))
    return Coordinator(
        answering.contract, mirror, waiting, partial(BareTerm, context, answering, mirror)
    )


def _member(etcd: EtcdMember, folder: Path) -> OurRole:
    return OurRole(
        ROLE,
        etcd_endpoints=etcd.endpoints,
        folder=folder,
        session_ttl_s=60,
        module="benchmarks.mirror_takeover",
        env=NEVER_EARLY,
    )


async def compare(keys: int, rounds: int) -> str:
    """The table."""
    lines = [HEAD]
    for count in (0, keys):
        found = await takeovers(
            lambda endpoint, count=count: fill(endpoint, count),  # type: ignore[misc]
            _member,
            rounds,
            loaded_s=LOADED_S,
        )
        lines += rows(found, f"{count:,} keys")
    return table(lines)


def main() -> None:
    """Run as the role when told to (`run tinycoord`), else measure."""
    if sys.argv[1:2] == ["run"]:
        SECTIONS[ROLE] = "indexCoord"
        ROLES[ROLE] = Shape(ROLE, "TinyCoord", build, mirrored)
        sys.exit(milvus())
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=800_000)
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    print(asyncio.run(compare(options.keys, options.rounds)))


if __name__ == "__main__":
    main()
