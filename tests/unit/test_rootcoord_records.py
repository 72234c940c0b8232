"""Different metadata have different records, equal ones the same: whatever a class will hold."""

from __future__ import annotations

import dataclasses
import gc
import weakref
from collections.abc import Iterator
from dataclasses import replace
from enum import Enum
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import rule

from milvus_coord.coordinators.rootcoord.access.catalog import AccessCatalog
from milvus_coord.coordinators.rootcoord.access.state import AccessState
from milvus_coord.coordinators.rootcoord.access.state_records import Grantee
from milvus_coord.coordinators.rootcoord.metadata import catalog_keys as keys
from milvus_coord.coordinators.rootcoord.metadata import catalog_values as values
from milvus_coord.coordinators.rootcoord.metadata.catalog import Catalog
from milvus_coord.coordinators.rootcoord.metadata.events import AliasHome
from milvus_coord.coordinators.rootcoord.metadata.image import MetaImage
from milvus_coord.coordinators.rootcoord.metadata.state_aliases import Aliases
from milvus_coord.coordinators.rootcoord.metadata.state_collection import CollectionEntry
from milvus_coord.etcd.txn import Put
from milvus_coord.ha.mirror.records import line
from milvus_coord.model.collection import CollectionState, PartitionState
from milvus_coord.model.database import Alias, Database
from milvus_coord.wire.descriptors import message_class
from testing.forms import examples
from testing.metadata import FIELDS, META_ROOT, collection, partition, ts
from testing.mutants import attribute_names, mutants
from tests.unit.test_rootcoord_state_machine import Metadata

CATALOG = Catalog(META_ROOT)
ACCESS = AccessCatalog(META_ROOT)


def rich_keys() -> Iterator[tuple[bytes, bytes]]:
    """At least one of everything that there can be."""

    def at(key: str, value: bytes) -> tuple[bytes, bytes]:
        return CATALOG.snapshots.plain(key.encode()), value

    for number, name in ((1, "default"), (2, "other")):
        yield at(keys.database_key(number), values.encode_database(Database(number, name, 5)))
    for number, state in enumerate(CollectionState, 10):
        record = collection(number, state=state, properties=(("k", "v"), ("l", "")), db_id=2)
        yield at(keys.collection_key(2, number), values.encode_collection(record))
        for field in FIELDS:
            full = replace(field, description="d", index_params=(("i", "p"),))
            yield at(keys.field_key(number, field.id), values.encode_field(full))
        for part in PartitionState:
            encoded = values.encode_partition(partition(number, part + 1, state=part))
            yield at(keys.partition_key(number, part + 1), encoded)
    for home in AliasHome:
        value = values.encode_alias(Alias("a", 1, 10, ts(1)))
        if home is AliasHome.OLDEST:
            value = values.encode_collection(replace(collection(11, "a"), fields=()))
        yield at(keys.alias_key(1, "a", home), value)
    yield at(keys.field_key(11, 999), b"\xff")
    yield at("root-coord/fields/no/number", b"")
    for transactions in (
        ACCESS.put_user("ann", "$2a$hash"),
        ACCESS.create_role("r"),
        ACCESS.add_mapping("ann", "r"),
        ACCESS.file_grantee(Grantee.of("r", "Collection", "default", "c10")),
        ACCESS.grant("0123456789abcdef", "PrivilegeInsert", "root"),
    ):
        for op in (op for ops in transactions for op in ops):
            assert isinstance(op, Put)
            yield op.key, op.value
    yield ACCESS.prefix + b"users/bob", b"no json"


def image_of(found: Iterator[tuple[bytes, bytes]]) -> MetaImage:
    image = MetaImage.maker(CATALOG)()
    for key, value in found:
        image.put(key, value)
    return image


@pytest.fixture
def rich() -> MetaImage:
    image = image_of(rich_keys())
    assert image.state.collection(10)
    return image


def lines(image: MetaImage) -> list[str]:
    return sorted(map(line, image.records()))


def filled(holder: Any) -> set[tuple[type, str]]:
    """The attributes, by class, that hold anything in `holder` or below it."""
    found: set[tuple[type, str]] = set()
    if isinstance(holder, dict | tuple | set | frozenset):
        inner = [*holder, *(holder.values() if isinstance(holder, dict) else ())]
        return found.union(*map(filled, inner))
    if isinstance(holder, Enum) or type(holder).__module__ == "builtins":
        return found
    for name in attribute_names(holder):
        value = getattr(holder, name)
        if value or isinstance(value, int):
            found |= {(type(holder), name), *filled(value)}
    return found


def test_the_rich_state_has_something_everywhere(rich: MetaImage) -> None:
    found = filled(rich.state)
    for example in (rich.state, AccessState(), Aliases(), CollectionEntry()):
        missing = {name for name in attribute_names(example) if (type(example), name) not in found}
        assert not missing, f"of {type(example)}"


def test_no_change_of_anything_goes_unseen(rich: MetaImage) -> None:
    before = lines(rich)
    seen = {tuple(before): "unchanged"}
    for mutant in mutants(rich.state):
        with mutant.applied():
            after, wrong = tuple(lines(rich)), rich.check()
        assert wrong or after != tuple(before), mutant.where
        seen[after] = mutant.where
    assert len(seen) > 1000
    assert lines(rich) == before, "what was undone left a trace"


def test_the_order_in_which_keys_came_does_not_matter(rich: MetaImage) -> None:
    assert lines(image_of(reversed(list(rich_keys())))) == lines(rich)


def test_what_was_only_looked_up_does_not_matter(rich: MetaImage) -> None:
    fresh = image_of(rich_keys())
    for number in range(10, 14):
        rich.state.collection(number)
    assert lines(fresh) == lines(rich)


def test_later_changes_do_not_reach_lines_that_are_being_taken(rich: MetaImage) -> None:
    before = lines(rich)
    taking = rich.records()
    first = next(taking)
    for key, _ in rich_keys():
        rich.delete(key)
    assert sorted(map(line, [first, *taking])) == before
    assert lines(rich) == lines(MetaImage.maker(CATALOG)())


def test_an_image_is_in_no_reference_cycle() -> None:
    """The garbage collector never looks at a mirror's image: one that is replaced would stay."""
    image = image_of(rich_keys())
    assert image.state.collection(10)
    seen = weakref.ref(image.state)
    gc.disable()
    try:
        del image
        assert seen() is None
    finally:
        gc.enable()


def test_secrets_are_not_shown_but_told_apart(rich: MetaImage) -> None:
    (user,) = [text for text in lines(rich) if "User(name='ann'" in text]
    assert "$2a$hash" not in "".join(lines(rich))
    rich.put(ACCESS.prefix + b"users/ann", b'{"encrypted_password":"$2a$other"}')
    (other,) = [text for text in lines(rich) if "User(name='ann'" in text]
    assert other != user
    assert "sha256:" in other


def test_equal_records_need_no_index_to_agree_but_a_wrong_index_is_named(rich: MetaImage) -> None:
    assert rich.check() == []
    rich.state._database_names.pop("other")
    assert [wrong for wrong in rich.check() if "by name" in wrong]


def test_marks_of_versions_that_knew_one_role_are_passed_over(rich: MetaImage) -> None:
    before = lines(rich)
    for name in (b"mark", b"beacon-7"):
        rich.put(CATALOG.prefix + b"ha/" + name, b"12")
    assert lines(rich) == before
    assert rich.check() == []


def test_a_stale_collection_is_shown(rich: MetaImage) -> None:
    assert not [text for text in lines(rich) if "stale" in text]
    whole = rich.state.collection(10)
    assert whole
    entry = rich.state._entries[10]
    entry._whole = dataclasses.replace(whole, fields=whole.fields[1:])
    (text,) = [text for text in lines(rich) if "stale" in text]
    assert text.startswith("('stale', Collection(id=10,")


def test_what_an_old_layout_hides_is_not_forgotten() -> None:
    """Of two partitions that are being dropped one goes while an old record hides both."""
    image = MetaImage.maker(CATALOG)()

    def put(key: str, value: bytes) -> bytes:
        image.put(full := CATALOG.snapshots.plain(key.encode()), value)
        return full

    new = values.encode_collection(collection(10))
    old: Any = message_class("milvus.proto.etcd.CollectionInfo").FromString(new)
    old.schema.fields.add(fieldID=100, name="id", data_type=5)
    old.partitionIDs.append(7)
    old.partitionNames.append("_default")
    old.partition_created_timestamps.append(1)
    for number in (1, 2):
        dropping = partition(10, number, state=PartitionState.DROPPING)
        gone = put(keys.partition_key(10, number), values.encode_partition(dropping))
    put(keys.collection_key(1, 10), old.SerializeToString())
    assert not list(image.state.dropping_partitions())
    image.delete(gone)
    put(keys.collection_key(1, 10), new)
    assert [each.id for each in image.state.dropping_partitions()] == [1]
    assert image.state.check() == []


class Lines(Metadata):
    """Random metadata: followed and read anew it has the same records; no change goes unseen."""

    @rule(number=st.integers(10, 13))
    def look(self, number: int) -> None:
        self.image.state.collection(number)

    @rule(data=st.data())
    def change_one_thing(self, data: st.DataObject) -> None:
        every = list(mutants(self.image.state))
        if every:
            mutant = data.draw(st.sampled_from(every), label="mutant")
            before = lines(self.image)
            with mutant.applied():
                assert self.image.check() or lines(self.image) != before, mutant.where
            assert lines(self.image) == before

    def compare(self, order: list[bytes]) -> None:
        super().compare(order)
        fresh = MetaImage.maker(CATALOG)()
        for key in order:
            fresh.put(key, self.stored[key])
        assert lines(fresh) == lines(self.image)
        again = MetaImage.maker(CATALOG)()
        for record in self.image.records():
            again.state.on(record)
        assert lines(again) == lines(self.image), "its records do not make it"


Lines.TestCase.settings = settings(max_examples=examples(30), stateful_step_count=30)
TestLines = Lines.TestCase
