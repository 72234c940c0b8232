"""What our user may do: asked of etcd, without changing anything."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from milvus_coord.etcd.errors import NoSpace, PermissionDenied
from milvus_coord.etcd.prefix import range_end
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.etcd.txn import Txn, put, version_is

_CALL_S: Final = 5.0
_NEVER: Final = -1
"""The version that no key has: a transaction that asks for it is checked, and changes nothing."""


@dataclass(frozen=True, slots=True)
class Right:
    """To read all keys in [low, high), and to write them where `write` is set.

    `str()` is what `etcdctl role grant-permission ROLE` takes.
    """

    low: bytes
    high: bytes
    write: bool

    @classmethod
    def below(cls, prefix: bytes, *, write: bool = True) -> Right:
        """For all keys that begin with `prefix`."""
        return cls(prefix, range_end(prefix), write)

    def __str__(self) -> str:
        kind = "readwrite" if self.write else "read"
        if self.high == range_end(self.low):
            return f"{kind} --prefix=true {_shown(self.low)}"
        return f"{kind} {_shown(self.low)} {_shown(self.high)}"


async def is_granted(etcd: Etcd, right: Right) -> bool:
    """Whether etcd lets us: it looks at both branches of a transaction, whichever is run.

    Raises etcd's other errors.
    """
    try:
        async with aclosing(
            etcd.pages(right.low, right.high, page_keys=1, timeout_s=_CALL_S)
        ) as pages:
            await anext(pages)
        if right.write:
            never = version_is(right.low, _NEVER)
            await etcd.txn(Txn((never,), (put(right.low, b""),)), timeout_s=_CALL_S)
    except PermissionDenied:
        return False
    except NoSpace:  # said after the rights were looked at
        return True
    return True


def _shown(key: bytes) -> str:
    return key.decode(errors="backslashreplace")
