"""The roles that this version runs, by name."""

from __future__ import annotations

from typing import Final

from milvus_coord.coordinators.rootcoord.shape import ROOTCOORD
from milvus_coord.role.shape import Shape

ROLES: Final[dict[str, Shape]] = {
    ROOTCOORD.name: ROOTCOORD,
}
