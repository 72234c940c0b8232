"""QueryCoord's section."""

from __future__ import annotations

from milvus_coord.config.role import Coordinator, Port


class QueryCoord(Coordinator):
    """`queryCoord.*`."""

    port: Port = 19531
