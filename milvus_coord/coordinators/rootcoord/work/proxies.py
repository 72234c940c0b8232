"""Ask every registered proxy whether it is well."""

from __future__ import annotations

import asyncio
from typing import Final

from milvus_coord.etcd.errors import EtcdError
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.ha.record import SessionRecord
from milvus_coord.model.errors import BadValue
from milvus_coord.model.states import StateCode
from milvus_coord.rpc.channel import RpcError
from milvus_coord.rpc.peer import component_state

_TIMEOUT_S: Final = 3.0


class ProxyHealth:
    """Finds proxies by their sessions, `<meta>/session/proxy-<id>`."""

    def __init__(self, etcd: Etcd, meta_root: str, cluster: str) -> None:
        self._etcd, self._cluster = etcd, cluster
        self._prefix = f"{meta_root}/session/proxy".encode()

    async def ailments(self) -> list[str]:
        """One sentence, in the words of Go 2.2.16, for each proxy that is not healthy."""
        try:
            sessions = await self._etcd.range(self._prefix, timeout_s=_TIMEOUT_S)
            proxies = [SessionRecord.decode(kv.key, kv.value) for kv in sessions.kvs]
        except (EtcdError, BadValue) as error:
            return [f"the proxies cannot be listed: {error}"]
        found = await asyncio.gather(*(self._ailment(proxy) for proxy in proxies))
        return [sentence for sentence in found if sentence]

    async def _ailment(self, proxy: SessionRecord) -> str:
        try:
            state = await component_state(
                "milvus.proto.proxy.Proxy",
                proxy.address,
                cluster=self._cluster,
                server_id=proxy.server_id,
                timeout_s=_TIMEOUT_S,
            )
        except RpcError as error:
            return _sentence(proxy, f"inner error: {error}")
        if state.error:
            return _sentence(proxy, f"rpc status error: {state.error}")
        if state.code != StateCode.Healthy:
            return _sentence(proxy, f"node is unhealthy, state code: {state.name}")
        return ""


def _sentence(proxy: SessionRecord, reason: str) -> str:
    return f"role proxy[nodeID: {proxy.server_id}] is unhealthy, reason: {reason}"
