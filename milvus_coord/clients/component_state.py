"""Ask another Milvus process how it is."""

from __future__ import annotations

from dataclasses import dataclass

from milvus_coord.pb.milvus.proto.milvus import ComponentStates, GetComponentStatesRequest
from milvus_coord.rpc.http2.channel import Channel


@dataclass(frozen=True, slots=True)
class ComponentState:
    """`code` is a StateCode, `error` an ErrorCode: 0 for none."""

    code: int
    error: int


async def state_over(channel: Channel, service: str, *, timeout_s: float) -> ComponentState:
    """GetComponentStates of `service` ("milvus.proto.proxy.Proxy"). Raises RpcError."""
    reply = await channel.unary(
        f"/{service}/GetComponentStates",
        GetComponentStatesRequest(),
        ComponentStates,
        timeout_s=timeout_s,
    )
    return ComponentState(code=int(reply.state.state_code), error=int(reply.status.error_code))
