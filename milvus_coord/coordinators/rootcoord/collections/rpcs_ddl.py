"""What RPCs about databases, collections, partitions and aliases have in common."""

from __future__ import annotations

from milvus_coord.coordinators.rootcoord.collections.ddl import Ddl
from milvus_coord.coordinators.rootcoord.metadata.state import MetaState
from milvus_coord.ha.election.serve_lease import ServeLease
from milvus_coord.model.collection import Collection
from milvus_coord.model.errors import CollectionNotFound
from milvus_coord.role.rpcs.family import Answering, StateHolder, StateRpcs


class DdlRpcs(StateRpcs[MetaState]):
    """RPCs that read the metadata, or change it by a statement."""

    def __init__(
        self,
        answering: Answering,
        serve: ServeLease,
        metadata: StateHolder[MetaState],
        statements: Ddl,
    ) -> None:
        super().__init__(answering, serve, metadata)
        self._statements = statements


def require_any(state: MetaState, collection_id: int) -> Collection:
    """The collection in whatever state it is. Raises CollectionNotFound."""
    collection = state.collection(collection_id)
    if collection is None:
        raise CollectionNotFound(f"can't find collection: {collection_id}")
    return collection
