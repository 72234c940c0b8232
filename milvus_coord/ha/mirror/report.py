"""What the management port tells about the role's metadata in memory."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from milvus_coord.ha.mirror.dump import Digest, MirrorDump, NotSynced
from milvus_coord.ha.mirror.mirror import Mirror
from milvus_coord.telemetry.status import MirrorAnswer


class MirrorReport:
    """Implements `telemetry.status.MirrorStatus`; there is a mirror once the role is loaded."""

    def __init__(self, role: str) -> None:
        self._role = role
        self._dump: MirrorDump | None = None

    def has(self, mirror: Mirror[Any]) -> None:
        """The role is loaded, this is its mirror."""
        self._dump = MirrorDump(mirror)

    async def digest(self, *, fresh: bool) -> MirrorAnswer:
        if self._dump is None:
            return self._nothing("the role is not loaded yet")
        try:
            return MirrorAnswer(self._facts(await self._dump.digest(fresh=fresh)))
        except NotSynced as error:
            return self._nothing(str(error))

    async def dump(self) -> MirrorAnswer:
        if self._dump is None:
            return self._nothing("the role is not loaded yet")
        try:
            found = await self._dump.dump()
        except NotSynced as error:
            return self._nothing(str(error))
        return MirrorAnswer(self._facts(found.digest), found.lines)

    def _facts(self, digest: Digest) -> dict[str, object]:
        return {"role": self._role, **asdict(digest)}

    def _nothing(self, why: str) -> MirrorAnswer:
        return MirrorAnswer({"role": self._role, "error": why}, complete=False)
