"""One watch stream to one endpoint, with a pulse: silence is questioned, not trusted."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc.aio

from milvus_coord.etcd.client.member import Member
from milvus_coord.etcd.client.rpc import pb
from milvus_coord.etcd.client.verdict import TROUBLE, StreamEnded


class WatchStream:
    """From `open` until `close` or the first error; a cancelled `next` may be called again.

    The read is a task of its own, ended by `close`: grpc.aio ends the whole stream when a read is
    cancelled, and a silent one must go on while the pulse is taken.
    """

    def __init__(self, member: Member, idle_check_s: float) -> None:
        self.member = member
        self.token = member.token
        self._idle_check_s = idle_check_s
        self._call: Any = None
        self._reading: asyncio.Task[Any] | None = None

    async def open(self, key: bytes, end: bytes, start_revision: int) -> None:
        """Ask for the changes of [key, end), or of `key` alone when `end` is empty."""
        create = pb.WatchCreateRequest(
            key=key,
            range_end=end,
            start_revision=start_revision,
            progress_notify=True,
        )
        self._call = self.member.watchstub.Watch(metadata=self.member.metadata)
        try:
            await self._write(pb.WatchRequest(create_request=create))
        except BaseException:
            self._call.cancel()
            raise

    async def next(self) -> Any:
        """The next response. Raises StreamEnded and what grpc.aio raises."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._call.read(), name="etcd watch read")
        if not await self._arrives():
            await self._write(pb.WatchRequest(progress_request=pb.WatchProgressRequest()))
            if not await self._arrives():
                raise StreamEnded(f"no sign of life for {2 * self._idle_check_s:.3g} s")
        reading, self._reading = self._reading, None
        if reading.cancelled():
            raise StreamEnded("the channel was closed")
        response = reading.result()
        if response is grpc.aio.EOF:
            raise StreamEnded("the server ended the stream")
        return response

    async def close(self) -> None:
        """End the stream; never raises."""
        if self._call is not None:
            self._call.cancel()
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})
            if not self._reading.cancelled():
                self._reading.exception()
            self._reading = None

    async def _arrives(self) -> bool:
        assert self._reading is not None
        done, _ = await asyncio.wait({self._reading}, timeout=self._idle_check_s)
        return bool(done)

    async def _write(self, request: Any) -> None:
        try:
            async with asyncio.timeout(self._idle_check_s):
                await self._call.write(request)
        except TROUBLE as failure:
            if isinstance(failure, TimeoutError):
                raise StreamEnded(f"it took nothing for {self._idle_check_s:.3g} s") from None
            # The write says only that the stream is over; its status says why.
            if not self._call.done():
                raise
            code, details = await self._call.code(), await self._call.details()
            raise grpc.aio.AioRpcError(
                code, grpc.aio.Metadata(), grpc.aio.Metadata(), details
            ) from failure
