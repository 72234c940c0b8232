"""What RPCs about databases, collections, partitions and aliases have in common."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol, TypeAlias, TypeVar

from grpclib.const import Handler

from milvus_coord.coordinators.rootcoord.metadata.state import MetaState
from milvus_coord.ha.election.lifecycle import Lifecycle
from milvus_coord.ha.election.serve_lease import ServeLease
from milvus_coord.model.collection import Collection
from milvus_coord.model.errors import CollectionNotFound, Refused
from milvus_coord.pb.milvus.proto.common import MsgType
from milvus_coord.role.rpcs.family import RpcFamily
from milvus_coord.wire.requests import UpbRequest, read_by_upb

Rpcs = TypeVar("Rpcs", bound=RpcFamily)
Reply = TypeVar("Reply")
Rpc: TypeAlias = Callable[[Rpcs, UpbRequest], Coroutine[Any, Any, Reply]]

_MSG_TYPES: Final = {int(each): str(each.name) for each in MsgType}
"""As Go names them; a number without a name is shown as it is."""


class Metadata(Protocol):
    """Who holds the metadata of this term."""

    @property
    def state(self) -> MetaState:
        """What is stored right now; another object after history was lost."""


class DdlRpcs(RpcFamily):
    """RPCs that read the metadata, or change it by a statement; requests are upb messages."""

    def __init__(self, lifecycle: Lifecycle, serve: ServeLease, metadata: Metadata) -> None:
        super().__init__(lifecycle)
        self._serve, self._metadata = serve, metadata

    def __mapping__(self) -> dict[str, Handler]:
        return read_by_upb(super().__mapping__())

    def state(self) -> MetaState:
        """The metadata, to be read and answered from without waiting for anything else.

        The serve lease is asked once more: the request may have come long after its headers, when
        the call was admitted. Raises NotServing.
        """
        self._serve.require()
        return self._metadata.state


def require_type(request: UpbRequest, expected: int) -> None:
    """Refuse a request whose `base` names another MsgType, or is missing. Raises Refused."""
    got = request.base.msg_type
    if got != expected:
        raise Refused(f"invalid msg type, expect {_name(expected)}, but got {_name(got)}")


def require_any(state: MetaState, collection_id: int) -> Collection:
    """The collection in whatever state it is. Raises CollectionNotFound."""
    collection = state.collection(collection_id)
    if collection is None:
        raise CollectionNotFound(f"can't find collection: {collection_id}")
    return collection


def _name(msg_type: int) -> str:
    return _MSG_TYPES.get(msg_type, str(msg_type))
