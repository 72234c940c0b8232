"""What our user may do in etcd, looked at before anything is registered there."""

from __future__ import annotations

from collections.abc import Iterator

from milvus_coord.config import Settings
from milvus_coord.etcd.errors import PermissionDenied
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.etcd.rights import Right, is_granted
from milvus_coord.ha.pair.keys import Keys
from milvus_coord.role.shape import Shape


def needs(shape: Shape, settings: Settings) -> Iterator[Right]:
    """The ranges that a process of this role reads and writes."""
    meta_root = settings.etcd.meta_root
    mirrored = shape.mirrored(meta_root)
    yield Right.below(f"{meta_root}/config/".encode(), write=False)
    yield Right.below(f"{meta_root}/session/".encode())
    yield Right.below(Keys(meta_root, shape.name).ha)
    yield Right(mirrored.low, mirrored.high, write=False)
    for prefix in (*mirrored.prefixes, *(shape.stored(settings) if shape.stored else ())):
        yield Right.below(prefix)


async def check_rights(etcd: Etcd, shape: Shape, settings: Settings) -> None:
    """Make sure that nothing will be refused; etcd is asked where it can know users at all.

    Raises PermissionDenied with the rights to grant, and etcd's other errors.
    """
    if not settings.etcd.auth.enabled and not settings.etcd.ssl.enabled:
        return
    lacking = [need for need in needs(shape, settings) if not await is_granted(etcd, need)]
    if lacking:
        user = settings.etcd.auth.user_name or "of the certificate"
        grants = "; ".join(f"etcdctl role grant-permission ROLE {need}" for need in lacking)
        raise PermissionDenied(
            f"etcd user {user} lacks rights that {shape.name} needs, grant them to a role of "
            f"that user: {grants}"
        )
