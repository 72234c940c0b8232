"""RootCoord's line in the table of roles; its code is loaded when something of it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from milvus_coord.config import Settings
from milvus_coord.ha.mirror.image import Mirrored
from milvus_coord.role.shape import Coordinator, RoleContext, Shape

if TYPE_CHECKING:
    from milvus_coord.coordinators.rootcoord.metadata.image import MetaImage


def _build(context: RoleContext) -> Coordinator:
    from milvus_coord.coordinators.rootcoord.role import build

    return build(context)


def _mirrored(meta_root: str) -> Mirrored[MetaImage]:
    from milvus_coord.coordinators.rootcoord.metadata.image import mirrored

    return mirrored(meta_root)


def _timestamp_bound(kv_root: str) -> bytes:
    from milvus_coord.coordinators.rootcoord.allocators.catalog import BoundKeys

    return BoundKeys(kv_root).timestamps


def _stored(settings: Settings) -> tuple[bytes, ...]:
    from milvus_coord.coordinators.rootcoord.allocators.catalog import BoundKeys
    from milvus_coord.coordinators.rootcoord.imports.catalog import ImportCatalog

    meta_root, kv_root = settings.etcd.meta_root, settings.etcd.kv_root
    bounds = BoundKeys(kv_root)
    return (
        f"{meta_root}/snapshots/root-coord/".encode(),
        *(key.rpartition(b"/")[0] + b"/" for key in (bounds.timestamps, bounds.ids)),
        ImportCatalog(kv_root, settings.root_coord.import_task_sub_path).prefix,
    )


ROOTCOORD: Final = Shape("rootcoord", "RootCoord", _build, _mirrored, _timestamp_bound, _stored)
