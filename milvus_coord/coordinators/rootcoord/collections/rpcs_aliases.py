"""RPCs about aliases."""

from __future__ import annotations

from milvus_coord.coordinators.rootcoord.collections.rpcs_ddl import DdlRpcs
from milvus_coord.coordinators.rootcoord.collections.rules_requests import check_key_name
from milvus_coord.pb.milvus.proto.common import MsgType, Status
from milvus_coord.role.rpcs.answers import answers
from milvus_coord.role.rpcs.family import require_type
from milvus_coord.wire.requests import UpbRequest
from milvus_coord.wire.status import ok


class AliasRpcs(DdlRpcs):
    """Other names of collections; which name a collection now is for the statements to say."""

    @answers()
    async def create_alias(self, request: UpbRequest) -> Status:
        require_type(request, MsgType.CreateAlias)
        check_key_name("alias", request.alias)
        await self._statements.create_alias(request.db_name, request.collection_name, request.alias)
        return ok()

    @answers()
    async def alter_alias(self, request: UpbRequest) -> Status:
        require_type(request, MsgType.AlterAlias)
        await self._statements.alter_alias(request.db_name, request.collection_name, request.alias)
        return ok()

    @answers()
    async def drop_alias(self, request: UpbRequest) -> Status:
        require_type(request, MsgType.DropAlias)
        await self._statements.drop_alias(request.db_name, request.alias)
        return ok()
