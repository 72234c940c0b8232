"""Find the active process of another role by its session."""

from __future__ import annotations

from typing import Final

from milvus_coord.clients.active_channel import Endpoint
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.ha.pair.keys import Keys
from milvus_coord.ha.pair.session_record import SessionRecord

_TIMEOUT_S: Final = 3.0


class SessionResolver:
    """A `clients.active_channel.Resolve` that reads `<meta>/session/<role>` at each call.

    Go 2.2.16 lists every key with that prefix and fails when one of them is damaged; the exact key
    alone matters.
    """

    def __init__(self, etcd: Etcd, meta_root: str, role: str) -> None:
        self._etcd, self._key = etcd, Keys(meta_root, role).active

    async def __call__(self) -> Endpoint | None:
        """Who is active, None while nobody is. Raises EtcdError and BadValue."""
        found = (await self._etcd.get(self._key, timeout_s=_TIMEOUT_S)).kv
        if found is None:
            return None
        session = SessionRecord.decode_callable(found.key, found.value)
        return Endpoint(session.address, session.server_id)
