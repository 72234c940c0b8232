"""A connection to a rootcoord, as its clients have one."""

from __future__ import annotations

from typing import Final

from grpclib.const import Status

from milvus_coord.model.errors import NotServing
from milvus_coord.pb.milvus.proto.common import ErrorCode
from milvus_coord.pb.milvus.proto.rootcoord import AllocTimestampRequest, AllocTimestampResponse
from milvus_coord.rpc.http2.channel import Channel, peer_metadata
from milvus_coord.wire.codec import WireCodec

_SERVICE: Final = "/milvus.proto.rootcoord.RootCoord"


class RootCoordClient:
    """One rootcoord, active or not; does not look for the active one. Close it.

    Args:
        address: `ip:port`.
        cluster: refuse to talk to a rootcoord of another cluster; empty: to any.
    """

    def __init__(self, address: str, *, cluster: str = "") -> None:
        self.address = address
        codec = WireCodec(on_damage=Status.INTERNAL)
        self._channel = Channel(address, codec=codec, metadata=peer_metadata(cluster, None))

    async def alloc_timestamp(self, *, timeout_s: float) -> int:
        """One hybrid timestamp. Raises RpcError, and NotServing for a refusal."""
        reply = await self._channel.unary(
            f"{_SERVICE}/AllocTimestamp",
            AllocTimestampRequest(count=1),
            AllocTimestampResponse,
            timeout_s=timeout_s,
        )
        if reply.status.error_code != ErrorCode.Success:
            raise NotServing(f"{self.address}: {reply.status.reason}")
        return reply.timestamp

    def close(self) -> None:
        """Drop the connection."""
        self._channel.close()
