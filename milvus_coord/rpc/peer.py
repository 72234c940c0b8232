"""Ask another Milvus process how it is."""

from __future__ import annotations

from dataclasses import dataclass

from milvus_coord.pb.milvus.proto.common import ErrorCode, StateCode
from milvus_coord.pb.milvus.proto.milvus import ComponentStates, GetComponentStatesRequest
from milvus_coord.rpc.channel import Channel, peer_metadata
from milvus_coord.wire.codec import WireCodec


@dataclass(frozen=True, slots=True)
class PeerState:
    """`code` is a StateCode, `name` its word; `error` names a status that is no success."""

    code: int
    name: str
    error: str


async def component_state(
    service: str, address: str, *, cluster: str, server_id: int, timeout_s: float
) -> PeerState:
    """GetComponentStates of `service` ("milvus.proto.proxy.Proxy") at `address`.

    `server_id` is the one we mean to reach. Raises RpcError.
    """
    metadata = peer_metadata(cluster, server_id)
    channel = Channel(address, codec=WireCodec(), metadata=metadata)
    try:
        reply = await channel.unary(
            f"/{service}/GetComponentStates",
            GetComponentStatesRequest(),
            ComponentStates,
            timeout_s=timeout_s,
        )
    finally:
        channel.close()
    code = ErrorCode.try_value(reply.status.error_code)
    state = StateCode.try_value(reply.state.state_code)
    error = "" if code == ErrorCode.Success else str(code.name)
    return PeerState(code=int(state), name=str(state.name), error=error)
