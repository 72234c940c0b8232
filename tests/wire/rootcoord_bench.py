"""A RootCoord behind a socket, with its etcd at hand, for tests that ask it anything at all."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.message import Message

from milvus_coord.coordinators.rootcoord.metadata.catalog import Catalog
from milvus_coord.coordinators.rootcoord.metadata.image import MetaImage
from milvus_coord.rpc.port import ReservedPort
from milvus_coord.rpc.server.guards import Guards
from milvus_coord.rpc.server.limits import Limits
from milvus_coord.rpc.server.server import RpcServer
from milvus_coord.wire.codec import WireCodec
from milvus_coord.wire.descriptors import pool
from testing import messages
from testing.grpc_wire import GrpcConnection, RpcFailed
from tests.wire.whole_rootcoord import OWN_ID, WholeRootCoord, whole_rootcoord

SERVICE: Final = "rootcoord.RootCoord"
ANSWER_S: Final = 20.0
_TURNS: Final = 20


@dataclass(frozen=True)
class Outcome:
    """`grpc` is the number of the gRPC status; the reply is there when that is 0."""

    grpc: int
    reply: Any
    text: str = ""

    @property
    def status(self) -> Any:
        """Milvus' status in the reply."""
        full_name = self.reply.DESCRIPTOR.full_name
        return self.reply if full_name == "milvus.proto.common.Status" else self.reply.status


class RootCoordBench:
    """Lives in a loop of its own, which runs only while it is asked.

    `library` is a database beside the default one. `books` (alias `tomes`, partitions `_default`,
    `old`) and `papers` are in the default one, `maps` is the library's, `ruins` was dropped. The
    user `eve` has the role `reader`, which may Load `books`; `bob` and `idle` have nothing.
    """

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._stop: asyncio.Event | None = None
        self._life: asyncio.Task[None] | None = None
        self._subject: WholeRootCoord | None = None
        self._filled: dict[bytes, bytes] = {}
        self.renew()

    @property
    def subject(self) -> WholeRootCoord:
        assert self._subject is not None
        return self._subject

    def renew(self) -> None:
        """Begin a new term over an etcd that was filled as described."""
        self._end()
        self._runner.run(self._begin())

    def close(self) -> None:
        self._end()
        self._runner.close()

    def ask(self, rpc: str, data: bytes) -> Outcome:
        """Make one call, whatever the bytes; what it left to do in the background goes on a bit."""
        return self._runner.run(self._ask(rpc, data))

    def stored(self) -> dict[bytes, bytes]:
        """All that requests may have changed."""
        return self.subject.stored()

    def damage(self) -> list[str]:
        """What is wrong with the stored metadata, as the next leader would read it."""
        catalog = Catalog(self.subject.settings.etcd.meta_root)
        image = MetaImage.maker(catalog)()
        for key, value in self.stored().items():
            if key.startswith(catalog.prefix):
                image.put(key, value)
        return [*image.state.check(), *(str(each) for each in image.state.damaged)]

    async def _begin(self) -> None:
        ready = asyncio.Event()
        self._stop = asyncio.Event()
        self._life = asyncio.create_task(self._live(ready, self._stop), name="bench")
        waiting = asyncio.create_task(ready.wait(), name="bench.ready")
        await asyncio.wait({waiting, self._life}, return_when=asyncio.FIRST_COMPLETED)
        if self._life.done():
            waiting.cancel()
            self._life.result()

    def _end(self) -> None:
        if self._life is not None and self._stop is not None:
            self._stop.set()
            life, self._life = self._life, None
            self._runner.run(_join(life))

    async def _live(self, ready: asyncio.Event, stop: asyncio.Event) -> None:
        async with whole_rootcoord(self._filled) as subject:
            self._subject = subject
            server = RpcServer(
                subject.services,
                codec=WireCodec(),
                limits=Limits(),
                guards=Guards("by-dev", lambda: OWN_ID),
            )
            with ReservedPort.bind("127.0.0.1", 0) as reserved:
                await server.listen(reserved)
                address = f"127.0.0.1:{reserved.address[1]}"
                self._connection = await GrpcConnection.open(address)
                try:
                    if not self._filled:
                        await self._fill()
                        self._filled = subject.stored()
                    ready.set()
                    await stop.wait()
                finally:
                    self._connection.close()
                    await server.abort()

    async def _fill(self) -> None:
        for rpc, fields in FILLING:
            outcome = await self._ask(rpc, request_of(rpc, **fields).SerializeToString())
            assert outcome.grpc == 0, (rpc, outcome)
            assert outcome.status.error_code == 0, (rpc, outcome)

    async def _ask(self, rpc: str, data: bytes) -> Outcome:
        _, reply = messages.method_types(f"{SERVICE}/{rpc}")
        try:
            async with asyncio.timeout(ANSWER_S):
                body = await self._connection.send(f"{SERVICE}/{rpc}", data)
        except RpcFailed as failed:
            return Outcome(failed.status, None, str(failed))
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        return Outcome(0, reply.FromString(body))


async def _join(task: asyncio.Task[None]) -> None:
    await task


def schema(name: str, *fields: dict[str, object]) -> bytes:
    """The bytes of a collection's schema."""
    data: bytes = messages.message_class("schema.CollectionSchema")(
        name=name, fields=fields
    ).SerializeToString()
    return data


def _collection(name: str, db_name: str = "") -> dict[str, object]:
    key = {"name": "id", "data_type": 5, "is_primary_key": True}
    return {"db_name": db_name, "collection_name": name, "schema": schema(name, key)}


def grant(role: str, user: str = "root") -> dict[str, object]:
    """The entity of a grant: `role` may Load `books`, says `user`."""
    grantor = {"user": {"name": user}, "privilege": {"name": "Load"}}
    where = {"object": {"name": "Collection"}, "object_name": "books"}
    return {"role": {"name": role}, "grantor": grantor, **where}


FILLING: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("CreateDatabase", {"db_name": "library"}),
    ("CreateCollection", _collection("books")),
    ("CreateCollection", _collection("papers")),
    ("CreateCollection", _collection("ruins")),
    ("CreateCollection", _collection("maps", "library")),
    ("CreatePartition", {"collection_name": "books", "partition_name": "old"}),
    ("CreateAlias", {"collection_name": "books", "alias": "tomes"}),
    ("DropCollection", {"collection_name": "ruins"}),
    ("CreateCredential", {"username": "eve", "encrypted_password": "$2a$04$x"}),
    ("CreateCredential", {"username": "bob", "encrypted_password": "$2a$04$y"}),
    ("CreateRole", {"entity": {"name": "reader"}}),
    ("CreateRole", {"entity": {"name": "idle"}}),
    ("OperateUserRole", {"username": "eve", "role_name": "reader"}),
    ("OperatePrivilege", {"entity": grant("reader")}),
)

MSG_TYPES: Final = (
    messages.message_class("common.MsgBase").DESCRIPTOR.fields_by_name["msg_type"].enum_type
)
RPCS: Final = tuple(
    method.name for method in pool().FindServiceByName(f"milvus.proto.{SERVICE}").methods
)


def msg_type(rpc: str) -> int:
    """The message type that an RPC wants."""
    if rpc == "UpdateChannelTimeTick":
        return 1200
    found = MSG_TYPES.values_by_name.get(rpc.removesuffix("Internal"))
    return found.number if found else 0


def request_of(rpc: str, **fields: Any) -> Any:
    """A request with the right message type, where it has a base."""
    kind: Any = request_type(rpc)
    if "base" in kind.DESCRIPTOR.fields_by_name:
        fields = {"base": {"msg_type": msg_type(rpc)}, **fields}
    return kind(**fields)


def request_type(rpc: str) -> type[Message]:
    request: type[Message] = messages.method_types(f"{SERVICE}/{rpc}")[0]
    return request
