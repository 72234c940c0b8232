"""The bounds that rootcoord saves ahead of the timestamps and ids it hands out."""

from __future__ import annotations

import base64
import json
import os

from testing.etcd import EtcdMember

TIMESTAMPS = "by-dev/kv/tso/timestamp"
IDS = "by-dev/kv/gid/idTimestamp"
HOUR_NS = 3_600_000_000_000


async def stored(etcd: EtcdMember, key: str) -> int:
    """Nanoseconds; the value is exactly eight bytes, big-endian."""
    answer = json.loads(await etcd.ctl("get", key, "-w=json"))
    value = base64.b64decode(answer["kvs"][0]["value"])
    assert len(value) == 8, f"{key} holds {value!r}"
    return int.from_bytes(value, "big")


async def store(etcd: EtcdMember, key: str, bound_ns: int) -> None:
    """Save a bound, moved up a little where it must be."""
    while 0 in (value := bound_ns.to_bytes(8, "big")):
        bound_ns += 1 << 8 * value[::-1].index(0)  # no NUL byte fits into a command line
    await etcd.ctl("put", key, os.fsdecode(value))
