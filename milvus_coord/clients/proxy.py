"""What a rootcoord tells and asks one proxy."""

from __future__ import annotations

from typing import Any, Final

from milvus_coord.clients.envelope import base
from milvus_coord.clients.service_client import NodeClient
from milvus_coord.pb.milvus.proto.common import MsgType
from milvus_coord.pb.milvus.proto.proxy import (
    InvalidateCredCacheRequest,
    RefreshPolicyInfoCacheRequest,
    UpdateCredCacheRequest,
)
from milvus_coord.wire.codec import Encoded
from milvus_coord.wire.descriptors import message_class

_INVALIDATE: Final = "milvus.proto.proxy.InvalidateCollMetaCacheRequest"


class ProxyClient(NodeClient):
    """One proxy. Its statuses are CallRefused with the proxy's reason."""

    service = "milvus.proto.proxy.Proxy"
    metrics_method = "GetProxyMetrics"

    async def invalidate_collection_meta_cache(
        self,
        db_name: str,
        collection_name: str,
        collection_id: int,
        ts: int,
        source_id: int,
        msg_type: int = MsgType.Undefined,
    ) -> None:
        """Forget a collection by its id, or with id 0 by one of its names.

        With `msg_type` 101 (DropCollection) it also drops its producer for the collection.
        """
        request: Any = message_class(_INVALIDATE)()
        head = request.base
        head.msg_type, head.timestamp, head.sourceID = int(msg_type), ts, source_id
        request.db_name, request.collection_name = db_name, collection_name
        request.collectionID = collection_id
        await self._tell("InvalidateCollectionMetaCache", request)

    async def forward(self, request: bytes) -> None:
        """Pass an InvalidateCollMetaCacheRequest on as it came."""
        await self._tell("InvalidateCollectionMetaCache", Encoded(request))

    async def update_credential_cache(
        self, username: str, password: str, source_id: int = 0
    ) -> None:
        """Remember a user; `password` is the sha256 that its client has sent."""
        head = base(MsgType.Undefined, source_id)
        request = UpdateCredCacheRequest(base=head, username=username, password=password)
        await self._tell("UpdateCredentialCache", request)

    async def invalidate_credential_cache(self, username: str, source_id: int = 0) -> None:
        """Forget a user."""
        request = InvalidateCredCacheRequest(
            base=base(MsgType.Undefined, source_id), username=username
        )
        await self._tell("InvalidateCredentialCache", request)

    async def refresh_policy_info_cache(self, op_type: int, op_key: str) -> None:
        """Change what it knows of privileges.

        1 AddUserToRole, 2 RemoveUserFromRole, 3 GrantPrivilege, 4 RevokePrivilege, 5 DeleteUser,
        6 DropRole, 7 read everything anew, without a key.
        """
        request = RefreshPolicyInfoCacheRequest(op_type=op_type, op_key=op_key)
        await self._tell("RefreshPolicyInfoCache", request)

    async def set_rates(self, request: bytes) -> None:
        """Replace its limits; `request` is an encoded SetRatesRequest."""
        await self._tell("SetRates", Encoded(request))
