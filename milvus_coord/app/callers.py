"""Who else is registered in the cluster, as far as settings of ours do not suit everybody."""

from __future__ import annotations

from milvus_coord.config import ConfigError, Problem, Settings
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.ha.pair.session_record import SessionRecord


async def check_tls(etcd: Etcd, settings: Settings) -> None:
    """Make sure that everybody who will call us can: Go 2.2.16's processes speak no TLS to us.

    Raises ConfigError, and etcd's errors.
    """
    if not settings.ha.tls.mode:
        return
    found = await etcd.range(f"{settings.etcd.meta_root}/session/".encode())
    sessions = [SessionRecord.of(kv.key, kv.value) for kv in found.kvs]
    go = sorted(
        {f"{one.server_name} at {one.address}" for one in sessions if one and not one.fenced}
    )
    if go:
        must = f"must be 0: Go processes of this cluster cannot call us over TLS: {', '.join(go)}"
        raise ConfigError(
            [Problem("registered in etcd", must, "ha.tls.mode", str(settings.ha.tls.mode))]
        )
