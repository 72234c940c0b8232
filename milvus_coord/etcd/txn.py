"""Transactions as plain values: comparisons, operations, and what came of them."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final, TypeAlias

from milvus_coord.etcd.values import KeyValue, RangeResult

MAX_OPS: Final = 128
"""etcd's default `--max-txn-ops`: comparisons, then-operations and else-operations, each."""


class Target(enum.Enum):
    """What of a key is compared; an absent key has zero for each number."""

    VERSION = "version"
    CREATE_REVISION = "create_revision"
    MOD_REVISION = "mod_revision"
    VALUE = "value"
    LEASE = "lease"


@dataclass(frozen=True, slots=True)
class Compare:
    """`target` of `key` equals `operand`; bytes for VALUE, which no absent key equals."""

    target: Target
    key: bytes
    operand: int | bytes

    def __str__(self) -> str:
        return f"{self.target.value}({self.key.decode(errors='replace')}) == {self.operand!r}"


def version_is(key: bytes, version: int) -> Compare:
    """The key has been written `version` times since it was created; 0: it is absent."""
    return Compare(Target.VERSION, key, version)


def mod_revision_is(key: bytes, revision: int) -> Compare:
    """The key was last written at `revision`; 0: it is absent."""
    return Compare(Target.MOD_REVISION, key, revision)


def value_is(key: bytes, value: bytes) -> Compare:
    """The key is there and holds `value`."""
    return Compare(Target.VALUE, key, value)


def lease_is(key: bytes, lease: int) -> Compare:
    """The key hangs on `lease`; 0: on none, or it is absent."""
    return Compare(Target.LEASE, key, lease)


@dataclass(frozen=True, slots=True)
class Put:
    """Write a key; its lease becomes `lease`, 0 for none."""

    key: bytes
    value: bytes
    lease: int = 0


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete a key, or with `end` all keys in [key, end)."""

    key: bytes
    end: bytes = b""


@dataclass(frozen=True, slots=True)
class Get:
    """Read a key, or with `end` all keys in [key, end)."""

    key: bytes
    end: bytes = b""


Op: TypeAlias = Put | Delete | Get


def put(key: bytes, value: bytes, lease: int = 0) -> Op:
    """Write a key; without a lease it leaves the one it hung on."""
    return Put(key, value, lease)


def delete(key: bytes) -> Op:
    """Delete one key, if it is there."""
    return Delete(key)


def get(key: bytes) -> Op:
    """Read one key."""
    return Get(key)


@dataclass(frozen=True, slots=True)
class Txn:
    """Apply `then` if all of `compares` hold, else `otherwise`, as one revision.

    etcd refuses two writes of one key in one branch.
    """

    compares: tuple[Compare, ...]
    then: tuple[Op, ...]
    otherwise: tuple[Op, ...] = ()

    @property
    def reads_only(self) -> bool:
        """Whether neither branch writes, so that it may be sent again at will."""
        return all(isinstance(op, Get) for op in (*self.then, *self.otherwise))


@dataclass(frozen=True, slots=True)
class PutResult:
    """A put was applied."""


@dataclass(frozen=True, slots=True)
class DeleteResult:
    """How many keys were there to delete."""

    deleted: int


OpResult: TypeAlias = PutResult | DeleteResult | RangeResult


@dataclass(frozen=True, slots=True)
class TxnResult:
    """Which branch ran, the store's revision after it, and one response for each of its operations.

    When the branch wrote anything, `revision` is the mod_revision of what it wrote.
    """

    succeeded: bool
    revision: int
    responses: tuple[OpResult, ...]

    def kv(self, index: int) -> KeyValue | None:
        """The first key that operation `index`, a read, has found; None when it found none."""
        response = self.responses[index]
        if not isinstance(response, RangeResult):
            raise TypeError(f"operation {index} of the transaction is no read")
        return response.kvs[0] if response.kvs else None
