"""The coordinators' names."""

from __future__ import annotations

from typing import Final

SECTIONS: Final[dict[str, str]] = {
    "rootcoord": "rootCoord",
    "datacoord": "dataCoord",
    "querycoord": "queryCoord",
    "indexcoord": "indexCoord",
}
"""A role's name on the command line and in session keys -> its section of milvus.yaml."""
