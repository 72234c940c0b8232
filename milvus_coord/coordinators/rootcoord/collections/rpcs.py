"""RPCs about databases, collections, partitions and aliases."""

from __future__ import annotations

from milvus_coord.coordinators.rootcoord.collections.context import NewCollection
from milvus_coord.coordinators.rootcoord.collections.ddl import Ddl
from milvus_coord.coordinators.rootcoord.collections.rpcs_describe_cache import DescribeCache
from milvus_coord.coordinators.rootcoord.collections.rpcs_replies import (
    describe_collection,
    exists,
    show_collections,
    show_partitions,
)
from milvus_coord.coordinators.rootcoord.collections.rules_requests import (
    check_field_count,
    check_key_name,
    check_name,
    check_record,
)
from milvus_coord.coordinators.rootcoord.metadata.state import MetaState
from milvus_coord.coordinators.rootcoord.metadata.time_travel import TimeTravel, is_now
from milvus_coord.model.collection import Collection, Partition
from milvus_coord.model.errors import CollectionNotFound, NotFound
from milvus_coord.model.timestamps import Timestamp
from milvus_coord.pb.milvus.proto import milvus
from milvus_coord.pb.milvus.proto.common import MsgType, Status
from milvus_coord.role.metadata.store import MetadataStore
from milvus_coord.role.rpcs.answers import answers
from milvus_coord.role.rpcs.family import Answering, StateRpcs, require_type
from milvus_coord.wire.requests import UpbRequest
from milvus_coord.wire.schema import pairs_of, parse_schema
from milvus_coord.wire.status import ok


class DdlRpcs(StateRpcs[MetaState]):
    """RPCs that read the metadata, or change it by a statement."""

    def __init__(
        self,
        answering: Answering,
        store: MetadataStore[MetaState],
        statements: Ddl,
    ) -> None:
        super().__init__(answering, store)
        self._statements = statements


def _require_any(state: MetaState, collection_id: int) -> Collection:
    """The collection in whatever state it is. Raises CollectionNotFound."""
    collection = state.collection(collection_id)
    if collection is None:
        raise CollectionNotFound(f"can't find collection: {collection_id}")
    return collection


class CollectionRpcs(DdlRpcs):
    """Lookups by name take aliases too; those by id ask for no database.

    A request with a `time_stamp` looks at that time, others at now.
    """

    def __init__(
        self,
        answering: Answering,
        store: MetadataStore[MetaState],
        statements: Ddl,
        history: TimeTravel,
    ) -> None:
        super().__init__(answering, store, statements)
        self._history = history
        self._described = DescribeCache()

    @answers()
    async def create_collection(self, request: UpbRequest) -> Status:
        name = request.collection_name
        self.state().require_database(request.db_name)  # Go: before anything else
        require_type(request, MsgType.CreateCollection)
        check_name("collection", name)
        properties = pairs_of(request.properties)
        check_record(f"collection {name}", len(request.schema), properties)
        schema = parse_schema(request.schema)
        check_field_count(f"collection {name}", len(schema.fields))
        await self._statements.create_collection(
            NewCollection(
                db_name=request.db_name,
                collection_name=name,
                schema=schema,
                shards=request.shards_num,
                consistency_level=request.consistency_level,
                properties=properties,
                num_partitions=request.num_partitions,
            )
        )
        return ok()

    @answers()
    async def drop_collection(self, request: UpbRequest) -> Status:
        require_type(request, MsgType.DropCollection)
        await self._statements.drop_collection(request.db_name, request.collection_name)
        return ok()

    @answers()
    async def alter_collection(self, request: UpbRequest) -> Status:
        properties = pairs_of(request.properties)
        check_record(f"collection {request.collection_name}", 0, properties)
        await self._statements.alter_collection(
            request.db_name, request.collection_name, properties
        )
        return ok()

    @answers()
    async def rename_collection(self, request: UpbRequest) -> Status:
        require_type(request, MsgType.RenameCollection)
        check_name("new collection", request.newName)
        await self._statements.rename_collection(
            request.db_name, request.oldName, request.newDBName, request.newName
        )
        return ok()

    @answers("HasCollection failed: ")
    async def has_collection(self, request: UpbRequest) -> milvus.BoolResponse:
        require_type(request, MsgType.HasCollection)
        db_name, name = request.db_name, request.collection_name
        ts = Timestamp(request.time_stamp)
        try:
            if is_now(ts):
                self.state().resolve(db_name, name)
            else:
                await self._history.collection_named(db_name, name, ts)
            found = True
        except NotFound:
            found = False
        self.state()  # asks for the serve lease again, after the wait
        return exists(found)

    @answers()
    async def describe_collection(self, request: UpbRequest) -> milvus.DescribeCollectionResponse:
        return await self._describe(request, internal=False)

    @answers()
    async def describe_collection_internal(
        self, request: UpbRequest
    ) -> milvus.DescribeCollectionResponse:
        return await self._describe(request, internal=True)

    @answers("ShowCollections failed: ")
    async def show_collections(self, request: UpbRequest) -> milvus.ShowCollectionsResponse:
        require_type(request, MsgType.ShowCollections)
        if is_now(Timestamp(request.time_stamp)):
            state = self.state()
            database = state.require_database(request.db_name)
            return show_collections(state.collections(database.id))
        found = await self._history.collections_at(request.db_name, Timestamp(request.time_stamp))
        self.state()  # asks for the serve lease again, after the wait
        return show_collections(found)

    @answers(always=True)
    async def show_segments(self, request: UpbRequest) -> milvus.ShowSegmentsResponse:
        """Go 2.2.16: Success and nothing; RootCoord knows no segments any more."""
        return milvus.ShowSegmentsResponse(status=ok())

    async def _describe(
        self, request: UpbRequest, *, internal: bool
    ) -> milvus.DescribeCollectionResponse:
        """Internal calls find unavailable collections too, but by id alone, and count all parts."""
        require_type(request, MsgType.DescribeCollection)
        name, collection_id = request.collection_name, request.collectionID
        unavailable = internal and not name
        if not is_now(Timestamp(request.time_stamp)):
            return await self._describe_past(request, unavailable=unavailable)
        state = self.state()
        if name:
            collection = state.resolve(request.db_name, name)
        elif unavailable:
            collection = _require_any(state, collection_id)
        else:
            collection = state.by_id(collection_id)
        return self._described.reply(
            collection,
            state.partitions(collection.id),
            state.aliases_of(collection.id),
            request.db_name,
            count_all=unavailable,
        )

    async def _describe_past(
        self, request: UpbRequest, *, unavailable: bool
    ) -> milvus.DescribeCollectionResponse:
        """Go 2.2.16 shows the aliases of now with a collection of then."""
        db_name, ts = request.db_name, Timestamp(request.time_stamp)
        if request.collection_name:
            found = await self._history.collection_named(db_name, request.collection_name, ts)
        else:
            found = await self._history.collection_by_id(
                db_name, request.collectionID, ts, any_state=unavailable
            )
        return describe_collection(
            found.collection,
            aliases=self.state().aliases_of(found.collection.id),
            num_partitions=len(found.partitions),
            db_name=db_name,
        )


class PartitionRpcs(DdlRpcs):
    """Lookups by name take aliases too; those by id ask for no database. None travels in time."""

    @answers()
    async def create_partition(self, request: UpbRequest) -> Status:
        require_type(request, MsgType.CreatePartition)
        check_name("partition", request.partition_name)
        await self._statements.create_partition(
            request.db_name, request.collection_name, request.partition_name
        )
        return ok()

    @answers()
    async def drop_partition(self, request: UpbRequest) -> Status:
        require_type(request, MsgType.DropPartition)
        await self._statements.drop_partition(
            request.db_name, request.collection_name, request.partition_name
        )
        return ok()

    @answers("HasPartition failed: ")
    async def has_partition(self, request: UpbRequest) -> milvus.BoolResponse:
        require_type(request, MsgType.HasPartition)
        state = self.state()
        collection = state.resolve(request.db_name, request.collection_name)
        return exists(state.partition(collection.id, request.partition_name) is not None)

    @answers("ShowPartitions failed: ")
    async def show_partitions(self, request: UpbRequest) -> milvus.ShowPartitionsResponse:
        require_type(request, MsgType.ShowPartitions)
        return show_partitions(self._partitions(request, unavailable=False))

    @answers("ShowPartitions failed: ")
    async def show_partitions_internal(self, request: UpbRequest) -> milvus.ShowPartitionsResponse:
        require_type(request, MsgType.ShowPartitions)
        return show_partitions(self._partitions(request, unavailable=True))

    def _partitions(self, request: UpbRequest, *, unavailable: bool) -> list[Partition]:
        """Unavailable ones, also of unavailable collections, are found by id alone."""
        state = self.state()
        if request.collection_name:
            collection_id = state.resolve(request.db_name, request.collection_name).id
            unavailable = False
        elif unavailable:
            collection_id = _require_any(state, request.collectionID).id
        else:
            collection_id = state.by_id(request.collectionID).id
        return [each for each in state.partitions(collection_id) if unavailable or each.available]


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
