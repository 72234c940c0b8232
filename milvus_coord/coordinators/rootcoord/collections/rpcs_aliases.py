"""RPCs about aliases."""

from __future__ import annotations

from typing import Protocol

from milvus_coord.coordinators.rootcoord.collections.rpcs_ddl import DdlRpcs, Metadata, require_type
from milvus_coord.coordinators.rootcoord.collections.rules_requests import check_key_name
from milvus_coord.ha.election.lifecycle import Lifecycle
from milvus_coord.ha.election.serve_lease import ServeLease
from milvus_coord.pb.milvus.proto.common import MsgType, Status
from milvus_coord.role.rpcs.answers import answers
from milvus_coord.wire.requests import UpbRequest
from milvus_coord.wire.status import ok


class AliasStatements(Protocol):
    """Who changes aliases; each raises CoordError."""

    async def create_alias(self, db_name: str, collection_name: str, alias: str) -> None:
        """`alias` becomes another name of the collection."""

    async def alter_alias(self, db_name: str, collection_name: str, alias: str) -> None:
        """`alias`, which exists, becomes another name of the collection."""

    async def drop_alias(self, db_name: str, alias: str) -> None:
        """`alias` names nothing any more."""


class AliasRpcs(DdlRpcs):
    """Other names of collections; which name a collection now is for the statements to say."""

    def __init__(
        self,
        lifecycle: Lifecycle,
        serve: ServeLease,
        metadata: Metadata,
        statements: AliasStatements,
    ) -> None:
        super().__init__(lifecycle, serve, metadata)
        self._statements = statements

    @answers(Status)
    async def create_alias(self, request: UpbRequest) -> Status:
        require_type(request, MsgType.CreateAlias)
        check_key_name("alias", request.alias)
        await self._statements.create_alias(request.db_name, request.collection_name, request.alias)
        return ok()

    @answers(Status)
    async def alter_alias(self, request: UpbRequest) -> Status:
        require_type(request, MsgType.AlterAlias)
        await self._statements.alter_alias(request.db_name, request.collection_name, request.alias)
        return ok()

    @answers(Status)
    async def drop_alias(self, request: UpbRequest) -> Status:
        require_type(request, MsgType.DropAlias)
        await self._statements.drop_alias(request.db_name, request.alias)
        return ok()
