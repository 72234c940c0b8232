"""IndexCoord's section."""

from __future__ import annotations

from milvus_coord.config.role import Coordinator, Port


class IndexCoord(Coordinator):
    """`indexCoord.*`."""

    port: Port = 31000
