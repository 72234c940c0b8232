"""A small gRPC service of raw bytes, a server for it, and clients of both Python stacks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

import grpc as untyped_grpc
from grpclib.client import Channel
from grpclib.const import Cardinality, Handler, Status
from grpclib.encoding.base import CodecBase
from grpclib.exceptions import GRPCError

from milvus_coord.rpc.port import ReservedPort
from milvus_coord.rpc.server.dispatcher import Admission
from milvus_coord.rpc.server.guards import Guards
from milvus_coord.rpc.server.limits import Limits
from milvus_coord.rpc.server.server import RpcServer
from milvus_coord.rpc.tls import ServerTls
from milvus_coord.telemetry.log import log

grpc: Any = untyped_grpc
SERVICE = "/milvus.proto.rootcoord.RootCoord"
OWN_ID = 1


class RawCodec(CodecBase):
    """Messages are bytes."""

    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: Any) -> bytes:
        return bytes(message)

    def decode(self, data: bytes, message_type: Any) -> bytes:
        if data == b"garbage":
            raise RuntimeError("does not match the schema")
        return bytes(data)


class Probe:
    """The service: echoes, waits until told, fails as told. `echoed` are the calls of Echo."""

    def __init__(self) -> None:
        self.entered = asyncio.Semaphore(0)
        self.release = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.work_done = asyncio.Event()
        self.failure: Exception = RuntimeError("boom")
        self.echoed: list[Any] = []
        self.work: asyncio.Task[None] | None = None

    def __mapping__(self) -> dict[str, Handler]:
        unary = Cardinality.UNARY_UNARY
        methods = {
            "Echo": self.echo,
            "Hold": self.hold,
            "Stubborn": self.stubborn,
            "Shielded": self.shielded,
            "Fail": self.fail,
            "Inflate": self.inflate,
            "Silent": self.silent,
            "AllocFoo": self.alloc_foo,
        }
        mapping = {
            f"{SERVICE}/{name}": Handler(method, unary, bytes, bytes)
            for name, method in methods.items()
        }
        mapping[f"{SERVICE}/Beats"] = Handler(self.beats, Cardinality.UNARY_STREAM, bytes, bytes)
        return mapping

    async def echo(self, stream: Any) -> None:
        request = await stream.recv_message()
        self.echoed.append(stream)
        log.info("echo", method=stream.method)
        await stream.send_message(request)

    async def hold(self, stream: Any) -> None:
        """Answer what was asked once `release` is set."""
        request = await stream.recv_message()
        self.entered.release()
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        await stream.send_message(request)

    async def stubborn(self, stream: Any) -> None:
        """Answer success even when cancelled."""
        await stream.recv_message()
        self.entered.release()
        with contextlib.suppress(asyncio.CancelledError):
            await self.release.wait()
        await stream.send_message(b"too late")

    async def shielded(self, stream: Any) -> None:
        """Wait for work that another task owns."""
        request = await stream.recv_message()
        self.work = asyncio.create_task(self._work(), name="probe.work")
        self.entered.release()
        await asyncio.shield(self.work)
        await stream.send_message(request)

    async def _work(self) -> None:
        await self.release.wait()
        self.work_done.set()

    async def fail(self, stream: Any) -> None:
        await stream.recv_message()
        raise self.failure

    async def inflate(self, stream: Any) -> None:
        """Answer as many bytes as the request says."""
        await stream.send_message(bytes(int(await stream.recv_message())))

    async def silent(self, stream: Any) -> None:
        await stream.recv_message()

    async def alloc_foo(self, stream: Any) -> None:
        raise GRPCError(Status.UNIMPLEMENTED)  # as betterproto's generated bases do

    async def beats(self, stream: Any) -> None:
        await stream.recv_message()
        await stream.send_message(b"beat")
        self.entered.release()
        await asyncio.get_running_loop().create_future()


class Served:
    """A probe behind a listening server on 127.0.0.1."""

    def __init__(self, probe: Probe, server: RpcServer, port: int) -> None:
        self.probe, self.server, self.port = probe, server, port
        self.target = f"127.0.0.1:{port}"

    async def drain(self, grace_s: float, *, reason: str = "draining") -> None:
        """End as a coordinator that hands over: finish the calls in flight, then hang up."""
        await self.server.quiesce(grace_s, reason=reason)
        await self.server.abort(reason=reason)

    def channel(self) -> Channel:
        return Channel("127.0.0.1", self.port, codec=RawCodec())


@contextlib.asynccontextmanager
async def serving(
    *,
    limits: Limits | None = None,
    cluster: str = "by-dev",
    server_id: Callable[[], int] = lambda: OWN_ID,
    tls: ServerTls | None = None,
    admission: Admission | None = None,
    port: int = 0,
) -> AsyncIterator[Served]:
    """Serve a probe inside the block."""
    probe = Probe()
    server = RpcServer(
        [probe],
        codec=RawCodec(),
        limits=limits or Limits(),
        guards=Guards(cluster, server_id),
        tls=tls,
        admission=admission,
    )
    with ReservedPort.bind("127.0.0.1", port) as reserved:
        await server.listen(reserved)
        try:
            yield Served(probe, server, reserved.address[1])
        finally:
            probe.release.set()
            await server.abort()


@contextlib.contextmanager
def closing_channel(served: Served) -> Iterator[Channel]:
    """A grpclib channel that is closed at the end."""
    channel = served.channel()
    try:
        yield channel
    finally:
        channel.close()


async def ask(
    channel: Channel,
    method: str,
    payload: bytes = b"x",
    *,
    metadata: Mapping[str, str] | None = None,
    timeout_s: float | None = 10.0,
) -> bytes:
    """One unary call by grpclib; `method` is the name alone, or a path."""
    path = method if method.startswith("/") else f"{SERVICE}/{method}"
    async with channel.request(
        path, Cardinality.UNARY_UNARY, bytes, bytes, timeout=timeout_s, metadata=metadata
    ) as stream:
        await stream.send_message(payload, end=True)
        reply = await stream.recv_message()
    assert reply is not None
    return reply


class CoreClient:
    """A grpcio client, driven from a thread: C core, as strict about HTTP/2 as Go's."""

    def __init__(self, target: str, credentials: Any = None) -> None:
        options = [
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_retries", 0),
        ]
        self._channel = (
            grpc.insecure_channel(target, options)
            if credentials is None
            else grpc.secure_channel(target, credentials, options)
        )

    def start(
        self,
        method: str,
        payload: bytes = b"x",
        *,
        metadata: Mapping[str, str] | None = None,
        timeout_s: float = 10.0,
    ) -> Any:
        """Begin a unary call; `settle` waits for it."""
        path = method if method.startswith("/") else f"{SERVICE}/{method}"
        pairs = tuple((metadata or {}).items())
        return self._channel.unary_unary(path).future(payload, timeout=timeout_s, metadata=pairs)

    async def ask(self, method: str, payload: bytes = b"x", **how: Any) -> tuple[str, str | bytes]:
        """One unary call; ("OK", reply) or (code, details)."""
        return await settle(self.start(method, payload, **how))

    def close(self) -> None:
        self._channel.close()


async def settle(call: Any) -> tuple[str, str | bytes]:
    """Wait for a call of CoreClient: ("OK", reply) or (code, details)."""

    def wait() -> tuple[str, str | bytes]:
        try:
            return "OK", call.result()
        except grpc.RpcError:
            return call.code().name, call.details()
        except grpc.FutureCancelledError:
            return "CANCELLED", ""

    return await asyncio.to_thread(wait)


async def eventually(condition: Callable[[], bool], *, within_s: float = 5.0) -> None:
    """Return as soon as `condition` holds; TimeoutError when it does not in time."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.002)
