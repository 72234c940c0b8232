"""What the families of a role's RPCs have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeAlias, TypeVar

from grpclib.const import Handler

from milvus_coord.ha.election.lifecycle import Lifecycle
from milvus_coord.model.errors import Refused
from milvus_coord.model.states import Phase
from milvus_coord.pb.milvus.proto.common import MsgType, Status
from milvus_coord.role.metadata.store import MetadataStore
from milvus_coord.role.rpcs.contract import Contract
from milvus_coord.wire.requests import UpbRequest
from milvus_coord.wire.status import not_serving

State = TypeVar("State")

_MSG_TYPES: Final = {int(each): str(each.name) for each in MsgType}
"""As Go names them; a number without a name is shown as it is."""


Observer: TypeAlias = Callable[[str, bool, float], None]
"""Told of each call that was answered, for metrics: its RPC, whether that succeeded, seconds."""


@dataclass(frozen=True, slots=True)
class Answering:
    """What every family answers with: whose RPCs they are, how the role is, and who observes."""

    contract: Contract
    lifecycle: Lifecycle
    observe: Observer | None = None

    def refusal(self) -> Status:
        """NotReadyServe: Go clients repeat such a call on the same connection."""
        lifecycle = self.lifecycle
        return not_serving(self.contract.role, lifecycle.server_id, lifecycle.phase.state_code.name)

    @property
    def active(self) -> bool:
        return self.lifecycle.phase is Phase.ACTIVE


class RpcFamily:
    """Some RPCs of a role: the methods that are named as RPCs of its contract.

    Each of them has the decorator `answers`. It takes a upb message: its fields are named as in
    protos/, and as in Go a known field of a wrong wire type counts as unknown.
    """

    def __init__(self, answering: Answering) -> None:
        self.answering = answering

    def __mapping__(self) -> dict[str, Handler]:
        return {
            rpc.path: rpc.handler(getattr(self, name))
            for name, rpc in self.answering.contract.rpcs.items()
            if hasattr(self, name)
        }


class StateRpcs(RpcFamily, Generic[State]):
    """RPCs that answer from the role's metadata."""

    def __init__(self, answering: Answering, store: MetadataStore[State]) -> None:
        super().__init__(answering)
        self._store = store

    def state(self) -> State:
        """The metadata, to be read and answered from without waiting for anything else.

        The serve lease is asked once more: the request may have come long after its headers, when
        the call was admitted. Raises NotServing.
        """
        return self._store.current


def require_type(request: UpbRequest, expected: int) -> None:
    """Refuse a request whose `base` names another MsgType, or is missing. Raises Refused."""
    got = request.base.msg_type
    if got != expected:
        raise Refused(f"invalid msg type, expect {_name(expected)}, but got {_name(got)}")


def _name(msg_type: int) -> str:
    return _MSG_TYPES.get(msg_type, str(msg_type))
