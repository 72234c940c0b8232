"""Proxies under test control: real servers of the Proxy service, and their session keys."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from milvus_coord.etcd.protocol import Etcd
from milvus_coord.etcd.txn import Txn, delete, put
from milvus_coord.pb.milvus.proto import common, milvus, proxy
from milvus_coord.rpc.port import ReservedPort
from milvus_coord.rpc.server.guards import Guards
from milvus_coord.rpc.server.limits import Limits
from milvus_coord.rpc.server.server import RpcServer
from milvus_coord.wire.codec import WireCodec
from milvus_coord.wire.status import fail, ok

CLUSTER = "by-dev"
META_ROOT = "by-dev/meta"


class FakeProxy(proxy.ProxyBase):
    """Remembers what it was told, in order; answers as told.

    Attributes:
        heard: (method, request) of each call, those that hang included.
        hanging: while clear, calls wait; the proxy is there but says nothing.
        refusal: the reason of every status from now on, empty for success.
    """

    def __init__(self, server_id: int) -> None:
        self.server_id = server_id
        self.heard: list[tuple[str, Any]] = []
        self.answering = asyncio.Event()
        self.answering.set()
        self.refusal = ""
        self.state = common.StateCode.try_value(common.StateCode.Healthy)
        self.address = ""
        self.called = asyncio.Event()
        self._server: RpcServer | None = None

    async def serve(self, port: int = 0) -> None:
        """Listen, on the port of before when `port` says so."""
        reserved = ReservedPort.bind("127.0.0.1", port)
        self._server = RpcServer(
            [self],
            codec=WireCodec(),
            limits=Limits(),
            guards=Guards(CLUSTER, lambda: self.server_id),
        )
        await self._server.listen(reserved)
        self.address = f"127.0.0.1:{reserved.address[1]}"

    async def die(self) -> None:
        """Close connections and port at once; the session stays."""
        server, self._server = self._server, None
        if server is not None:
            await server.abort()

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def session(self) -> bytes:
        """The value of its session key, as Go 2.2.16 writes it."""
        return json.dumps(
            {
                "ServerID": self.server_id,
                "ServerName": "proxy",
                "Address": self.address,
                "TriggerKill": True,
                "Version": "2.2.16",
            },
            separators=(",", ":"),
        ).encode()

    def told(self, method: str) -> list[Any]:
        """The requests of one method."""
        return [request for name, request in self.heard if name == method]

    async def invalidate_collection_meta_cache(
        self, request: proxy.InvalidateCollMetaCacheRequest
    ) -> common.Status:
        return await self._answer("InvalidateCollectionMetaCache", request)

    async def invalidate_credential_cache(
        self, request: proxy.InvalidateCredCacheRequest
    ) -> common.Status:
        return await self._answer("InvalidateCredentialCache", request)

    async def update_credential_cache(self, request: proxy.UpdateCredCacheRequest) -> common.Status:
        return await self._answer("UpdateCredentialCache", request)

    async def refresh_policy_info_cache(
        self, request: proxy.RefreshPolicyInfoCacheRequest
    ) -> common.Status:
        return await self._answer("RefreshPolicyInfoCache", request)

    async def set_rates(self, request: proxy.SetRatesRequest) -> common.Status:
        return await self._answer("SetRates", request)

    async def get_proxy_metrics(
        self, request: milvus.GetMetricsRequest
    ) -> milvus.GetMetricsResponse:
        status = await self._answer("GetProxyMetrics", request)
        return milvus.GetMetricsResponse(
            status=status, response=f'{{"proxy":{self.server_id}}}', component_name="proxy"
        )

    async def get_component_states(
        self, request: milvus.GetComponentStatesRequest
    ) -> milvus.ComponentStates:
        status = await self._answer("GetComponentStates", request)
        return milvus.ComponentStates(
            status=status,
            state=milvus.ComponentInfo(node_id=self.server_id, role="proxy", state_code=self.state),
        )

    async def _answer(self, method: str, request: Any) -> common.Status:
        self.heard.append((method, request))
        self.called.set()
        await self.answering.wait()
        return fail(1, self.refusal) if self.refusal else ok()


@asynccontextmanager
async def proxy_servers(*server_ids: int) -> AsyncIterator[list[FakeProxy]]:
    """Proxies that listen, without sessions."""
    proxies = [FakeProxy(server_id) for server_id in server_ids]
    try:
        for each in proxies:
            await each.serve()
        yield proxies
    finally:
        for each in proxies:
            each.answering.set()
            await each.die()


def session_key(server_id: int) -> bytes:
    return f"{META_ROOT}/session/proxy-{server_id}".encode()


async def register(etcd: Etcd, each: FakeProxy, *, lease: int = 0) -> None:
    """Put its session."""
    op = put(session_key(each.server_id), each.session(), lease=lease)
    await etcd.txn(Txn((), (op,)), timeout_s=10.0)


async def unregister(etcd: Etcd, server_id: int) -> None:
    """Delete its session, as a stop or the end of its lease does."""
    await etcd.txn(Txn((), (delete(session_key(server_id)),)), timeout_s=10.0)
