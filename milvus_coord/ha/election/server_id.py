"""Server ids: one counter in etcd that all components of a cluster share."""

from __future__ import annotations

from typing import Final

from milvus_coord.etcd.protocol import Etcd
from milvus_coord.etcd.txn import Txn, put, value_is, version_is
from milvus_coord.ha.pair.keys import Keys
from milvus_coord.ha.settings import WRITE_S
from milvus_coord.model.errors import BadValue, CoordError
from milvus_coord.telemetry.log import log

_SERVER_ID_MAX: Final = 2**62
"""Messages hold an int64, and the counter must be able to go on."""

_DIGITS_MAX: Final = 19


class BadCounter(BadValue):
    """`session/id` is no number that a server id can be: a person must mend it."""


class CounterContended(CoordError):
    """Others kept taking ids at the same moment."""


async def allocate(etcd: Etcd, keys: Keys) -> int:
    """Take the next server id.

    The key holds the next id as decimal text and is compared by value, as Go 2.2.16 does; the
    first id ever is 1. Raises BadCounter (Go logs it in a tight loop for ever), and etcd's errors.
    """
    key = keys.server_id
    for _ in range(100):
        stored = (await etcd.get(key, timeout_s=WRITE_S)).kv
        if stored is None:
            await etcd.txn(Txn((version_is(key, 0),), (put(key, b"1"),)), timeout_s=WRITE_S)
            continue
        server_id = _number(key, stored.value)
        taken = Txn((value_is(key, stored.value),), (put(key, b"%d" % (server_id + 1)),))
        if (await etcd.txn(taken, timeout_s=WRITE_S)).succeeded:
            log.info("Session get serverID success", key="id", ServerId=server_id)
            return server_id
    raise CounterContended(f"{key.decode()} changed under each of 100 tries to take an id")


def _number(key: bytes, value: bytes) -> int:
    if not value.isdigit() or len(value) > _DIGITS_MAX or (number := int(value)) > _SERVER_ID_MAX:
        raise BadCounter(
            f"{key.decode()} holds {value[:100]!r}, no server id: put the next free one there"
        )
    return number
