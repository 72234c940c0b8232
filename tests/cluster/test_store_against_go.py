"""The same statements leave the same keys and bytes in etcd as with Go Milvus 2.2.16."""

from __future__ import annotations

import re
from typing import Final

import pytest

from testing.cluster import pair_under_test
from tests.cluster.twins import Both

pytestmark = [pytest.mark.etcd, pytest.mark.go]

_ALTERED: Final = "root-coord/database/collection-info/1/default.books"
# Keys whose values differ on purpose, and why.
KNOWN: Final = {
    _ALTERED: "Go writes old properties down when they are altered, ours writes the new ones",
    "root-coord/database/collection-info/1/attic.movies": "the same",
    "root-coord/database/aliases/1/brief": "Go drops it again, ours once",
}
ONLY_OURS: Final = {
    "root-coord/database/aliases/1/plays": "Go keeps names of dropped collections until it restarts"
}


def test_the_stores_have_the_same_keys(both: Both) -> None:
    more = set(ONLY_OURS) if pair_under_test()[1] == "ours" else set()
    assert set(both.other.store) - set(both.go.store) == more
    assert set(both.go.store) <= set(both.other.store)


def test_the_values_of_each_key_are_the_same_at_each_time(both: Both) -> None:
    """Decoded, with names for ids; each value is in the one encoding that these fields have."""
    go, other = both.go.store, both.other.store
    different = {key for key in go.keys() & other.keys() if go[key] != other[key]}
    known = set(KNOWN) if pair_under_test()[1] == "ours" else set()
    assert {key: (go[key], other[key]) for key in different - known} == {}
    assert known <= different, "no longer different: remove them from KNOWN"


def test_every_kind_of_metadata_was_compared(both: Both) -> None:
    kinds = {re.sub(r"/.*", "", key.removeprefix("root-coord/")) for key in both.go.store}
    assert kinds == {"database", "partitions", "fields", "credential"}
    parts = {key.split("/")[2] for key in both.go.store if "/database/" in key}
    assert parts == {"db-info", "collection-info", "aliases"}
    parts = {key.split("/")[2] for key in both.go.store if "/credential/" in key}
    assert parts == {"users", "roles", "user-role-mapping", "grantee-privileges", "grantee-id"}
