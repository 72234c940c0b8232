"""TinyCoord: builds what others flush, for collections that have an index, on index nodes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial

from milvus_coord.clients.indexnode import IndexNodeClient
from milvus_coord.etcd.errors import EtcdError
from milvus_coord.etcd.txn import delete, put
from milvus_coord.ha.election.term import Term
from milvus_coord.ha.mirror.image import Mirrored
from milvus_coord.ha.mirror.mirror import Mirror
from milvus_coord.ha.pair.keys import Keys
from milvus_coord.ha.pair.session_record import SessionRecord
from milvus_coord.model.errors import NotFound, Refused
from milvus_coord.pb.milvus.proto import index
from milvus_coord.pb.milvus.proto.common import IndexState, Status
from milvus_coord.role.metadata.keyed import KeyedStore
from milvus_coord.role.metadata.store import MetadataStore
from milvus_coord.role.nodes.pool import Node, NodePool
from milvus_coord.role.nodes.sessions import NodeChanges
from milvus_coord.role.rpcs.answers import answers
from milvus_coord.role.rpcs.contract import Contract
from milvus_coord.role.rpcs.family import Answering, RpcFamily
from milvus_coord.role.rpcs.info import ComponentRpcs
from milvus_coord.role.rpcs.waiting import Refusals
from milvus_coord.role.shape import Coordinator, RoleContext, Shape
from milvus_coord.role.tasks.executor import Executor
from milvus_coord.role.tasks.table import Moves, TaskTable
from milvus_coord.role.term import RoleTerm, Tasks
from milvus_coord.rpc.server.dispatcher import Service
from milvus_coord.runtime.loop import Loop
from milvus_coord.runtime.taskgroup import TaskGroup
from milvus_coord.wire.requests import UpbRequest
from milvus_coord.wire.status import ok
from testing.keys_image import KeysImage

INDEX, BUILT, FLUSHED, GIVEN = b"tiny-index", b"tiny-built", b"tiny-flushed", b"tiny-given"

Build = Enum("Build", ["PENDING", "FAILED"])
LEGAL = {Build.PENDING: frozenset({Build.FAILED}), Build.FAILED: frozenset[Build]()}
MOVES = Moves("build", LEGAL, tries_max=8, retry_first_s=0.05, retry_cap_s=0.2)


class TinyImage(KeysImage):
    """Names of indexes by collection; what is built and what waits, collections by segment."""

    @property
    def state(self) -> TinyImage:
        return self

    def of(self, kind: bytes) -> dict[int, bytes]:
        places = ((key.rsplit(b"/", 2), value) for key, value in self.items())
        return {int(id_): value for (_, its, id_), value in places if its == kind}


@dataclass(frozen=True)
class Catalog:
    """Keys of all kinds, and the codec of one: how often each node was told to build."""

    meta_root: str
    kind: str = "count of a node"

    def room(self, kind: bytes) -> bytes:
        return b"%s/%s/" % (self.meta_root.encode(), kind)

    def key(self, id_: int, kind: bytes = GIVEN) -> bytes:
        return self.room(kind) + b"%d" % id_

    @property
    def prefix(self) -> bytes:
        return self.room(GIVEN)

    def encode(self, record: int) -> bytes:
        return b"%d" % record

    def decode(self, key: bytes, value: bytes) -> tuple[int, int]:
        return int(key.removeprefix(self.prefix)), int(value)


class TinyRpcs(RpcFamily):
    def __init__(self, answering: Answering, term: TinyTerm) -> None:
        super().__init__(answering)
        self._store, self._catalog, self._table = term.store, term.catalog, term.table

    @answers("CreateIndex failed: ")
    async def create_index(self, request: UpbRequest) -> Status:
        id_, name = request.collectionID, request.index_name.encode()
        if self._store.current.of(INDEX).get(id_, name) != name:
            raise Refused(f"collection {id_} has another index")
        write = put(self._catalog.key(id_, INDEX), name)
        await self._store.write([(write,)], applied=lambda state: id_ in state.of(INDEX))
        return ok()

    @answers()
    async def get_index_state(self, request: UpbRequest) -> index.GetIndexStateResponse:
        state, id_ = self._store.current, request.collectionID
        if id_ not in state.of(INDEX):
            raise NotFound(f"there is no index on collection {id_}")
        waits = b"%d" % id_ in state.of(FLUSHED).values()
        found = IndexState.InProgress if waits else IndexState.Finished
        if any(task.state is Build.FAILED and task.value == id_ for task in self._table):
            found = IndexState.Failed
        return index.GetIndexStateResponse(status=ok(), state=IndexState.try_value(int(found)))


class TinyTerm(RoleTerm):
    executor: Executor[int, int, None]

    def __init__(
        self, context: RoleContext, answering: Answering, mirror: Mirror[TinyImage], term: Term
    ) -> None:
        super().__init__(context, term, mirror)
        root, etcd, clock = context.settings.etcd.meta_root, context.etcd, context.clock
        self.answering, self.catalog = answering, Catalog(root)
        self.store: MetadataStore[TinyImage] = MetadataStore(mirror, term.fence, term.serve.require)
        self.given = KeyedStore(etcd, term.fence, self.catalog)
        self.table: TaskTable[int, Build, int] = TaskTable(MOVES)
        pool = partial(NodePool, etcd, clock, root, "indexnode", serve=term.serve)
        self.nodes = pool(connect=_client, on_change=self._nodes_changed)

    def recover(self) -> Tasks:
        return {"tinycoord.given": self.given.load()}

    def services(self, tasks: TaskGroup) -> Sequence[Service]:
        self.executor = Executor(tasks, name="tinycoord.build", per_node=2, in_all=4)
        return ComponentRpcs(self.answering), TinyRpcs(self.answering, self)

    def work(self) -> Tasks:
        flushed = self.wake_on(self.catalog.room(FLUSHED), self.executor.wake)
        return {"tinycoord.flushed": flushed, "tinycoord.nodes": self.nodes.run()}

    def loops(self) -> Iterator[Loop]:
        yield Loop("tinycoord.builds", 0.1, self._turn, wake=self.executor.wake, on=(EtcdError,))

    def _nodes_changed(self, changes: NodeChanges) -> None:
        for node in changes.left:
            self.executor.node_gone(node.server_id)

    async def _turn(self) -> str:
        table, state, now_s = self.table, self.store.state, self.context.clock.boottime()
        for one in self.executor.outcomes():
            if one.error is None:
                table.remove(one.id)
            elif not table.failed(one.id, now_s=now_s, event=str(one.error)):
                table.move(one.id, Build.FAILED, now_s=now_s, event="tried too often")
        for segment, collection in state.of(FLUSHED).items():
            if int(collection) in state.of(INDEX) and segment not in table:
                table.add(segment, Build.PENDING, int(collection), now_s=now_s)
        for task in table.due(now_s):
            for id_, node in self.nodes.nodes.items():
                self.executor.start(task.id, id_, partial(self._build, node, task.id))
        return f"builds under way: {len(table)}"

    async def _build(self, node: Node[IndexNodeClient], segment: int) -> None:
        await self.given.change(node.server_id, lambda count: (count or 0) + 1)
        job = index.CreateJobRequest(build_id=segment)
        await node.tell(lambda client: client.create_job(job), timeout_s=5.0, repeat=False)
        built, flushed = (self.catalog.key(segment, kind) for kind in (BUILT, FLUSHED))
        write = put(built, b"%d" % node.server_id), delete(flushed)
        await self.store.write([write], applied=lambda state: segment in state.of(BUILT))


def _client(node: SessionRecord) -> IndexNodeClient:
    return IndexNodeClient(node.address, node.server_id, "")


def mirrored(meta_root: str) -> Mirrored[TinyImage]:
    prefixes = tuple(b"%s/%s" % (meta_root.encode(), kind) for kind in (INDEX, BUILT, FLUSHED))
    return Mirrored(prefixes, Keys(meta_root, "tinycoord").ha, TinyImage)


def build(context: RoleContext) -> Coordinator:
    answering = Answering(Contract("tinycoord", index.IndexCoordBase()), context.lifecycle)
    mirror = Mirror(context.etcd, context.clock, mirrored(context.settings.etcd.meta_root))
    waiting, term = (Refusals(answering), ComponentRpcs(answering)), partial(TinyTerm, context)
    return Coordinator(answering.contract, mirror, waiting, partial(term, answering, mirror))


TINYCOORD = Shape("tinycoord", "TinyCoord", build, mirrored)
