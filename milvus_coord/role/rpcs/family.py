"""What the families of RootCoord's RPCs have in common."""

from __future__ import annotations

import functools
from types import MethodType
from typing import Final, Protocol

from grpclib.const import Handler

from milvus_coord.ha.election.lifecycle import Lifecycle
from milvus_coord.model.errors import CoordError
from milvus_coord.model.states import Phase
from milvus_coord.pb.milvus.proto import rootcoord
from milvus_coord.pb.milvus.proto.common import Status
from milvus_coord.wire.status import fail, not_serving

ROLE: Final = "rootcoord"


class Observer(Protocol):
    """Told of each call that a method of a family has answered; for metrics."""

    def __call__(self, function: str, success: bool, seconds: float) -> None: ...


def _nobody(function: str, success: bool, seconds: float) -> None:
    """Nobody observes."""


class RpcFamily(rootcoord.RootCoordBase):
    """Some of the 47 RPCs; serves those alone that the subclass defines. `observe` may be set."""

    observe: Observer = staticmethod(_nobody)

    def __init__(self, lifecycle: Lifecycle) -> None:
        self.lifecycle = lifecycle

    def __mapping__(self) -> dict[str, Handler]:
        return {
            path: handler._replace(func=MethodType(handler.func, self))
            for path, handler in _served_by(type(self)).items()
        }

    def refusal(self) -> Status | None:
        """NotReadyServe while we activate: Go clients repeat such a call on the same connection."""
        phase = self.lifecycle.phase
        if phase is Phase.ACTIVE:
            return None
        return not_serving(ROLE, self.lifecycle.server_id, phase.state_code.name)


@functools.cache
def _served_by(family: type[RpcFamily]) -> dict[str, Handler]:
    """Path to handler with an unbound function: found out once, a term has no time for it."""
    every = rootcoord.RootCoordBase.__mapping__(family.__new__(family))
    return {
        path: handler._replace(func=handler.func.__func__)
        for path, handler in every.items()
        if _defines(family, handler)
    }


def _defines(family: type[RpcFamily], handler: Handler) -> bool:
    name = handler.func.__name__.partition("__rpc_")[2]
    return getattr(family, name) is not getattr(rootcoord.RootCoordBase, name)


def failure(error: CoordError, prefix: str = "") -> Status:
    """The status of a reply that says why a request failed; `prefix` goes before the text."""
    return fail(error.code, f"{prefix}{error}")
