"""RPCs about databases."""

from __future__ import annotations

from milvus_coord.coordinators.rootcoord.collections.rpcs_ddl import DdlRpcs
from milvus_coord.coordinators.rootcoord.collections.rules_requests import check_name
from milvus_coord.pb.milvus.proto import milvus
from milvus_coord.pb.milvus.proto.common import Status
from milvus_coord.role.rpcs.answers import answers
from milvus_coord.wire.requests import UpbRequest
from milvus_coord.wire.status import ok


class DatabaseRpcs(DdlRpcs):
    """Go 2.2.16 looks at the message type of none of these."""

    @answers()
    async def create_database(self, request: UpbRequest) -> Status:
        check_name("database", request.db_name)
        await self._statements.create_database(request.db_name)
        return ok()

    @answers()
    async def drop_database(self, request: UpbRequest) -> Status:
        await self._statements.drop_database(request.db_name)
        return ok()

    @answers("ListDatabases failed: ")
    async def list_databases(self, request: UpbRequest) -> milvus.ListDatabasesResponse:
        names = [database.name for database in self.state().databases()]
        return milvus.ListDatabasesResponse(status=ok(), db_names=names)
