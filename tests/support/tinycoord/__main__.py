"""The `milvus` command with one role more."""

from __future__ import annotations

import sys

from milvus_coord.app.roles import ROLES
from milvus_coord.cli.main import main
from milvus_coord.model.roles import SECTIONS
from tests.support.tinycoord.role import TINYCOORD

if __name__ == "__main__":
    SECTIONS["tinycoord"] = "indexCoord"
    ROLES["tinycoord"] = TINYCOORD
    sys.exit(main())
