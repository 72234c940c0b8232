"""An RPC always replies: what a method raises becomes the status of its reply."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, TypeAlias, TypeVar

from milvus_coord.model.errors import CoordError, NotServing
from milvus_coord.pb.milvus.proto.common import Status
from milvus_coord.role.rpcs.family import RpcFamily
from milvus_coord.telemetry.log import log
from milvus_coord.wire.requests import UpbRequest
from milvus_coord.wire.status import fail

Family = TypeVar("Family", bound=RpcFamily)
Reply = TypeVar("Reply")
Method: TypeAlias = Callable[[Family, UpbRequest], Coroutine[Any, Any, Reply]]


def answers(
    prefix: str = "", *, code: int | None = None, always: bool = False, echo: tuple[str, ...] = ()
) -> Callable[[Method[Family, Reply]], Method[Family, Reply]]:
    """Make a method an RPC that always replies.

    While we activate the reply is the refusal, and when the method raises it says why, `prefix`
    before the text. Only NotServing goes on to the caller: it makes Go clients look up who serves
    now, while other gRPC errors would make them repeat the call up to ten times.

    Args:
        prefix: what Go 2.2.16 puts before its texts.
        code: of every failure of this RPC; without it each error has its own.
        always: answered in every phase, and not counted.
        echo: fields of the request that every reply repeats, also one that refuses.
    """

    def decorate(method: Method[Family, Reply]) -> Method[Family, Reply]:
        def failed(self: Family, request: UpbRequest, status: Status) -> Reply:
            rpc = self.answering.contract.rpcs[method.__name__]
            reply: Reply = rpc.failed(status, **{name: getattr(request, name) for name in echo})
            return reply

        @wraps(method)
        async def answer(self: Family, request: UpbRequest) -> Reply:
            answering = self.answering
            if not (always or answering.active):
                return failed(self, request, answering.refusal())
            observe = None if always else answering.observe
            began_s, success = time.monotonic(), False
            try:
                reply = await method(self, request)
                success = True
            except NotServing:
                raise
            except CoordError as error:
                text = f"{prefix}{error}"
                return failed(self, request, fail(error.code if code is None else code, text))
            except Exception as error:
                log.error("call broke", method=method.__name__, error=error)
                text = f"{prefix}{type(error).__name__}: {error}"
                return failed(self, request, fail(CoordError.code if code is None else code, text))
            else:
                return reply
            finally:
                if observe is not None:
                    name = answering.contract.rpcs[method.__name__].name
                    observe(name, success, time.monotonic() - began_s)

        return answer

    return decorate
