"""What the clients of all Milvus processes have in common, and the client of one node."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Protocol, TypeVar

from milvus_coord.clients.codec import ClientCodec
from milvus_coord.clients.envelope import base, require
from milvus_coord.clients.errors import CallError
from milvus_coord.pb.milvus.proto.common import MsgBase, MsgType
from milvus_coord.pb.milvus.proto.internal import (
    ShowConfigurationsRequest,
    ShowConfigurationsResponse,
)
from milvus_coord.pb.milvus.proto.milvus import (
    ComponentStates,
    GetComponentStatesRequest,
    GetMetricsRequest,
    GetMetricsResponse,
)
from milvus_coord.rpc.http2.channel import Channel, member_metadata
from milvus_coord.rpc.http2.unary import RpcError
from milvus_coord.wire.descriptors import message_class

Reply = TypeVar("Reply")

ASK_S: Final = 10.0

_STATUS: Final = "milvus.proto.common.Status"


@dataclass(frozen=True, slots=True)
class ComponentState:
    """How a process says it is; `code` is a StateCode, `error` an ErrorCode: 0 for none."""

    code: int
    error: int


class WithBase(Protocol):
    """A request with a base."""

    base: MsgBase


class ServiceClient(ABC):
    """A client of one gRPC service. Every method raises CallError; a refusal has Go's text.

    Attributes:
        service: full name of the service, "milvus.proto.proxy.Proxy".
        metrics_method: how GetMetrics is called there.
    """

    service: ClassVar[str]
    metrics_method: ClassVar[str] = "GetMetrics"

    def __init__(self, source_id: int, ask_timeout_s: float, *, target_id: int = 0) -> None:
        self._source_id, self._target_id = source_id, target_id
        self._ask_timeout_s = ask_timeout_s

    async def component_state(self) -> ComponentState:
        """How it is; a status that is no success is returned, not raised."""
        reply = await self._ask("GetComponentStates", GetComponentStatesRequest(), ComponentStates)
        return ComponentState(int(reply.state.state_code), int(reply.status.error_code))

    async def metrics(self, request_json: str) -> str:
        """The JSON that it answers; a coordinator's is about its nodes too."""
        head = base(MsgType.SystemInfo, self._source_id)
        request = GetMetricsRequest(base=head, request=request_json)
        reply = await self._ask(self.metrics_method, request, GetMetricsResponse)
        require(reply.status)
        return reply.response

    async def show_configurations(self, pattern: str) -> dict[str, str]:
        """Its settings whose keys begin with `pattern`."""
        request = ShowConfigurationsRequest(base=self._base(MsgType.Undefined), pattern=pattern)
        reply = await self._ask("ShowConfigurations", request, ShowConfigurationsResponse)
        require(reply.status)
        return {pair.key: pair.value for pair in reply.configuations}

    @abstractmethod
    def close(self) -> None:
        """Drop the connection; calls in flight fail, and so do later ones."""

    async def _ask(self, method: str, request: object, reply_type: type[Reply]) -> Reply:
        return await self._call(method, request, reply_type, timeout_s=self._ask_timeout_s)

    @abstractmethod
    async def _call(
        self, method: str, request: object, reply_type: type[Reply], *, timeout_s: float
    ) -> Reply:
        """Call `method` and return its reply, whatever its status. Raises CallError."""

    def _base(self, kind: int, *, msg_id: int = 0, timestamp: int = 0) -> MsgBase:
        """The base of a request; `kind` is a MsgType.

        Nodes of Go 2.2.16 refuse some requests without their own id as `target_id`.
        """
        return base(
            kind,
            self._source_id,
            msg_id=msg_id,
            timestamp=timestamp,
            target_id=self._target_id,
        )


class NodeClient(ServiceClient):
    """One node at its internal port. Nothing is repeated. Close it.

    Args:
        address: `ip:port` of its session.
        server_id: of its session; another process at this address refuses our calls. None: any.
        cluster: our `common.chanNamePrefix.cluster`; empty: any.
        source_id: our own server id.
        ask_timeout_s: of a question; calls that take longer say so.
    """

    def __init__(
        self,
        address: str,
        server_id: int | None,
        cluster: str,
        *,
        source_id: int = 0,
        ask_timeout_s: float = ASK_S,
    ) -> None:
        super().__init__(source_id, ask_timeout_s, target_id=server_id or 0)
        self.address = address
        self._channel = Channel(
            address, codec=ClientCodec(), metadata=member_metadata(cluster, server_id)
        )

    def close(self) -> None:
        self._channel.close()

    async def _call(
        self, method: str, request: object, reply_type: type[Reply], *, timeout_s: float
    ) -> Reply:
        path = f"/{self.service}/{method}"
        try:
            return await self._channel.unary(path, request, reply_type, timeout_s=timeout_s)
        except RpcError as error:
            raise CallError(str(error), unseen=error.unseen) from error

    def _complete(self, kind: int, request: WithBase) -> None:
        """Fill in the base, but for `msg_id` and `timestamp`."""
        given = request.base
        request.base = self._base(kind, msg_id=given.msg_id, timestamp=given.timestamp)

    async def _tell(self, method: str, request: object, *, timeout_s: float | None = None) -> None:
        """Call a method that answers a mere status. Raises CallError."""
        limit_s = self._ask_timeout_s if timeout_s is None else timeout_s
        reply: Any = await self._call(method, request, message_class(_STATUS), timeout_s=limit_s)
        require(reply)
