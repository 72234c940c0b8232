"""What a role answers while a term begins: NotReadyServe."""

from __future__ import annotations

from typing import Any

from grpclib.const import Handler

from milvus_coord.role.rpcs.contract import Rpc
from milvus_coord.role.rpcs.family import Answering
from milvus_coord.wire.requests import UpbRequest


class Refusals:
    """Every RPC of a role. The codec reports a damaged request, every other one is refused."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering

    def __mapping__(self) -> dict[str, Handler]:
        return {
            rpc.path: rpc.handler(self._refusing(rpc))
            for rpc in self._answering.contract.rpcs.values()
        }

    def _refusing(self, rpc: Rpc) -> Any:
        async def refuse(_: UpbRequest) -> Any:
            return rpc.failed(self._answering.refusal())

        return refuse
