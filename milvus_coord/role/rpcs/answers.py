"""An RPC always replies: what a method raises becomes the status of its reply."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, TypeAlias, TypeVar, cast

from milvus_coord.model.errors import CoordError, NotServing
from milvus_coord.pb.milvus.proto.common import Status
from milvus_coord.role.rpcs.family import RpcFamily
from milvus_coord.telemetry.log import log
from milvus_coord.wire.status import fail

Family = TypeVar("Family", bound=RpcFamily)
Request = TypeVar("Request")
Reply = TypeVar("Reply")
Rpc: TypeAlias = Callable[[Family, Request], Coroutine[Any, Any, Reply]]


def answers(
    reply_type: Callable[..., Reply], prefix: str = "", *, code: int | None = None
) -> Callable[[Rpc[Family, Request, Reply]], Rpc[Family, Request, Reply]]:
    """Make a method an RPC that always replies.

    While we activate the reply is the refusal, and when the method raises it says why, `prefix`
    before the text. Only NotServing goes on to the caller: it makes Go clients look up who serves
    now, while other gRPC errors would make them repeat the call up to ten times.

    Args:
        reply_type: the generated class of the reply, `Status` included.
        prefix: what Go 2.2.16 puts before its texts.
        code: of every failure of this RPC; without it each error has its own.
    """

    def refused(status: Status) -> Reply:
        is_status: bool = cast(Any, reply_type) is Status
        return cast(Reply, status) if is_status else reply_type(status=status)

    def failed(error: CoordError) -> Reply:
        return refused(fail(error.code if code is None else code, f"{prefix}{error}"))

    def decorate(method: Rpc[Family, Request, Reply]) -> Rpc[Family, Request, Reply]:
        function = "".join(map(str.capitalize, method.__name__.split("_")))

        @wraps(method)
        async def rpc(self: Family, request: Request) -> Reply:
            refusal = self.refusal()
            if refusal is not None:
                return refused(refusal)
            began_s, success = time.monotonic(), False
            try:
                reply = await method(self, request)
                success = True
            except NotServing:
                raise
            except CoordError as error:
                return failed(error)
            except Exception as error:
                log.error("call broke", method=method.__name__, error=error)
                return failed(CoordError(f"{type(error).__name__}: {error}"))
            else:
                return reply
            finally:
                self.observe(function, success, time.monotonic() - began_s)

        return rpc

    return decorate
