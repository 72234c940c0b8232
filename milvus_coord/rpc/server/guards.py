"""Milvus' two checks of a request's metadata: meant for this cluster, and for this process."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from grpclib.const import Status
from grpclib.exceptions import GRPCError

CLUSTER_KEY: Final = "cluster"
SERVER_ID_KEY: Final = "serverid"
SOURCE_ID_KEY: Final = "sourceid"

_INTEGER: Final = re.compile(r"[+-]?[0-9]+", re.ASCII)
_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1


@dataclass(frozen=True, slots=True)
class Guards:
    """Refuses calls that were meant for another cluster or another server.

    Go 2.2.16 looks at the cluster first, then at the server id, and lets a call pass that names
    none. Its clients recognise a refusal by the words of the message, which are kept exactly,
    the broken verb `%!s(int64=...)` included.

    Args:
        cluster: our own `common.chanNamePrefix.cluster`.
        server_id: our own server id, asked at each call: it changes when a lost session is renewed.
    """

    cluster: str
    server_id: Callable[[], int]

    def check(self, metadata: Mapping[str, str | bytes]) -> None:
        """Raise GRPCError UNKNOWN when `metadata` names another cluster or server id."""
        cluster = metadata.get(CLUSTER_KEY)
        if cluster and cluster != self.cluster:
            raise GRPCError(
                Status.UNKNOWN,
                f"expectedCluster={self.cluster}, actualCluster={cluster!s}: cross cluster routing",
            )
        wanted = _int64(metadata.get(SERVER_ID_KEY))
        if wanted is not None and wanted != (own := self.server_id()):
            raise GRPCError(
                Status.UNKNOWN,
                f"expected=%!s(int64={wanted}), actual=%!s(int64={own}): server ID mismatch",
            )


def _int64(text: str | bytes | None) -> int | None:
    """What Go's ParseInt(text, 10, 64) accepts; None for anything else."""
    # Sign and 19 digits suffice, but leading zeros are legal: bounded, so no quadratic int().
    if not isinstance(text, str) or len(text) > 64 or not _INTEGER.fullmatch(text):
        return None
    number = int(text)
    return number if _INT64_MIN <= number <= _INT64_MAX else None
