"""The rates that proxies are told."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from milvus_coord.model.quota import UNLIMITED, CollectionQuota
from milvus_coord.model.timestamps import Timestamp
from milvus_coord.wire.codec import Encoded
from milvus_coord.wire.descriptors import message_class

_REQUEST: Final = "milvus.proto.proxy.SetRatesRequest"


def set_rates(quotas: Iterable[CollectionQuota], proxies: int, now: Timestamp) -> Encoded:
    """A SetRatesRequest for each of `proxies`, which share every rate that has a limit.

    It replaces all that a proxy was told before. Go 2.2.16 puts the wall clock into the message.
    """
    request: Any = message_class(_REQUEST)()
    request.base.msgID = request.base.timestamp = now
    for quota in quotas:
        one = request.rates.add(collection=quota.collection_id)
        for kind, rate in sorted(quota.rates.items()):
            one.rates.add(rt=kind, r=rate if rate >= UNLIMITED else rate / proxies)
        one.states.extend(quota.states.keys())
        one.codes.extend(quota.states.values())
    return Encoded(request.SerializeToString())
