"""DataCoord's section."""

from __future__ import annotations

from milvus_coord.config.role import Coordinator, Port


class DataCoord(Coordinator):
    """`dataCoord.*`."""

    port: Port = 13333
