"""RootCoord: what it mirrors of etcd, its RPCs, its metrics, and what its terms are made of."""

from __future__ import annotations

from milvus_coord.coordinators.rootcoord import rpcs
from milvus_coord.coordinators.rootcoord.metadata.catalog import Catalog
from milvus_coord.coordinators.rootcoord.metadata.image import mirrored
from milvus_coord.coordinators.rootcoord.metrics import RootCoordMetrics
from milvus_coord.coordinators.rootcoord.term import RootCoordTerm
from milvus_coord.ha.election.term import Term
from milvus_coord.ha.mirror.mirror import Mirror
from milvus_coord.mq.connect import load_client
from milvus_coord.role.shape import Coordinator, RoleContext


def build(context: RoleContext) -> Coordinator:
    """Make the role. Raises QueueUnusable when the client of the message queue is missing."""
    assert context.queue is not None, "its section says that it needs one"
    load_client(context.queue)
    metrics = RootCoordMetrics(context.metrics)
    catalog = Catalog(context.settings.etcd.meta_root)
    mirror = Mirror(context.etcd, context.clock, mirrored(context.settings.etcd.meta_root))

    def new_term(term: Term) -> RootCoordTerm:
        return RootCoordTerm(context, term, mirror, catalog, metrics)

    return Coordinator(rpcs.contract(), mirror, rpcs.waiting(context), new_term)
