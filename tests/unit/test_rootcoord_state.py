"""The metadata in memory: what users see, what is hidden, what is indexed."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import pytest

from milvus_coord.coordinators.rootcoord.access.events import UserPut
from milvus_coord.coordinators.rootcoord.access.state import AccessState
from milvus_coord.coordinators.rootcoord.access.state_records import User
from milvus_coord.coordinators.rootcoord.metadata import events
from milvus_coord.coordinators.rootcoord.metadata.events import AliasHome
from milvus_coord.coordinators.rootcoord.metadata.state import MetaState
from milvus_coord.model.collection import Collection, CollectionState, PartitionState
from milvus_coord.model.database import Alias, Database, DatabaseNotFound
from milvus_coord.model.errors import CollectionNotFound
from testing.metadata import FIELDS, collection, partition, ts

DEFAULT = Database(1, "default", 1)
OTHER = Database(9, "other", 2)


def told(*happened: object) -> MetaState:
    state = MetaState(AccessState())
    for event in happened:
        state.on(event)
    assert state.check() == []
    return state


def records_of(*whole: Collection) -> list[object]:
    """The events of collections with their fields, and a partition `_default` each."""
    found: list[object] = []
    for each in whole:
        found.append(events.CollectionPut(replace(each, fields=())))
        found += (events.FieldPut(each.id, field) for field in each.fields)
        found.append(events.PartitionPut(partition(each.id, each.id + 1000, "_default")))
    return found


def default(*happened: object) -> MetaState:
    return told(events.DatabasePut(DEFAULT), *happened)


def test_databases() -> None:
    state = default(events.DatabasePut(OTHER))
    assert list(state.databases()) == [DEFAULT, OTHER]
    assert state.database("") is state.database("default") is DEFAULT
    assert state.database_of(0) is state.database_of(1) is DEFAULT
    assert state.require_database("other") is OTHER
    state.on(events.DatabaseDeleted(9))
    with pytest.raises(DatabaseNotFound, match=r"^database:other not found$"):
        state.require_database("other")


def test_a_collection_is_whole_in_whatever_order_its_keys_come() -> None:
    c = collection(7)
    happened = records_of(c)
    for order in itertools.islice(itertools.permutations(happened), 0, 720, 7):
        state = default(*order)
        assert state.collection(7) == c
        assert state.collection(7) is state.collection(7)
        assert [p.name for p in state.partitions(7)] == ["_default"]
        assert state.by_id(7) == state.resolve("", "c7") == state.by_name(1, "c7") == c


def test_users_see_what_is_created() -> None:
    c = collection(7, state=CollectionState.CREATING)
    state = default(*records_of(c))
    assert state.by_name(1, "c7") is None
    assert list(state.unfinished()) == [c]
    assert (state.count(), state.count(1)) == (0, 0)
    with pytest.raises(CollectionNotFound, match=r"reason: can't find collection default:c7$"):
        state.resolve("", "c7")
    with pytest.raises(CollectionNotFound, match=r"reason: can't find collection: 7$"):
        state.by_id(7)
    state.on(events.CollectionPut(collection(7, fields=())))
    assert state.count() == state.count(1) == state.count(0) == 1
    assert not list(state.unfinished())
    assert list(state.collections(1)) == [collection(7)]
    state.on(events.CollectionPut(replace(c, fields=(), state=CollectionState.DROPPING)))
    assert [each.state for each in state.unfinished()] == [CollectionState.DROPPING]
    assert state.channels_in_use() == {"by-dev-rootcoord-dml_7": 1}
    assert state.check() == []


def test_a_name_can_be_used_again_while_its_former_holder_is_being_dropped() -> None:
    dropping = collection(7, "same", state=CollectionState.DROPPING)
    state = default(*records_of(dropping, collection(8, "same")))
    assert state.resolve("default", "same").id == 8
    state.on(events.CollectionDeleted(1, 8))
    assert state.by_name(1, "same") is None


def test_aliases_go_before_names_and_may_lead_nowhere() -> None:
    alias = Alias("a", 1, 7, ts(1))
    state = default(*records_of(collection(7), collection(8, "a")), events.AliasPut(alias))
    assert state.resolve("", "a").id == 7
    assert state.alias(1, "a") == alias
    assert state.aliases_of(7) == ("a",)
    state.on(events.AliasPut(replace(alias, collection_id=9)))
    assert (state.aliases_of(7), state.aliases_of(9)) == ((), ("a",))
    with pytest.raises(CollectionNotFound, match="can't find collection: 9"):
        state.resolve("", "a")
    state.on(events.AliasDeleted(1, "a"))
    assert state.resolve("", "a").id == 8
    assert state.check() == []


def test_records_of_an_alias_in_old_homes() -> None:
    homes = {AliasHome.OLDEST: 7, AliasHome.DATABASE: 8, AliasHome.OLD: 9}
    happened = [events.AliasPut(Alias("a", 1, to, ts(1)), home) for home, to in homes.items()]
    for order in itertools.permutations(happened):
        state = default(*order)
        assert state.alias(0, "a") == Alias("a", 1, 9, ts(1))
        assert [len(records) for records in state.old_aliases()] == [3]
        state.on(events.AliasDeleted(1, "a", AliasHome.OLD))
        assert state.alias(1, "a") == Alias("a", 1, 8, ts(1))
        state.on(events.AliasDeleted(1, "a", AliasHome.OLDEST))
        assert not list(state.old_aliases())
        assert state.check() == []


def test_partitions() -> None:
    state = default(*records_of(collection(7)))
    state.on(events.PartitionPut(partition(7, 5, "p")))
    assert [p.id for p in state.partitions(7)] == [5, 1007]
    assert state.partition(7, "p") == partition(7, 5, "p")
    dropping = partition(7, 5, "p", state=PartitionState.DROPPING)
    state.on(events.PartitionPut(dropping))
    assert state.partition(7, "p") is None
    assert list(state.dropping_partitions()) == [dropping]
    state.on(events.PartitionDeleted(7, 5))
    assert not list(state.dropping_partitions())
    assert state.partitions(8) == ()
    assert state.check() == []


def test_a_collection_of_before_databases_belongs_to_default() -> None:
    old = collection(7, db_id=0)
    state = default(*records_of(old))
    assert state.resolve("", "c7") == old
    assert list(state.collections(1)) == [old]
    assert state.count(1) == 1


def test_a_collection_that_moves_is_there_all_the_time() -> None:
    state = default(events.DatabasePut(OTHER), *records_of(collection(7, db_id=0)))
    moved = collection(7, "n", db_id=9)
    state.on(events.CollectionPut(replace(moved, fields=())))
    assert state.by_id(7) == moved
    state.on(events.CollectionDeleted(0, 7))
    assert state.resolve("other", "n") == moved
    assert state.by_name(1, "c7") is None
    assert (state.count(1), state.count(9)) == (0, 1)
    assert state.check() == []


def test_collections_of_a_database_that_is_gone_are_finished_but_not_served() -> None:
    dropping = collection(8, db_id=9, state=CollectionState.DROPPING)
    state = default(*records_of(collection(7, db_id=9), dropping))
    with pytest.raises(CollectionNotFound):
        state.by_id(7)
    with pytest.raises(CollectionNotFound, match="other:c7"):
        state.resolve("other", "c7")
    assert state.count() == 0
    assert list(state.unfinished()) == [dropping]


def test_the_layout_of_before_21_holds_everything_itself() -> None:
    old = collection(7, db_id=0)
    parts = (partition(7, 70, "_default"),)
    state = default(
        events.FieldPut(7, replace(FIELDS[0], name="stray")), events.CollectionPut(old, parts)
    )
    assert state.by_id(7) is old
    assert state.partitions(7) == parts
    assert list(state.old_layouts()) == [(old, parts)]
    state.on(events.CollectionPut(replace(old, fields=())))
    assert not list(state.old_layouts())
    assert [field.name for field in state.by_id(7).fields] == ["stray"]


@pytest.mark.parametrize("gone", [events.FieldDeleted(7, 101), events.PartitionDeleted(7, 1007)])
def test_a_damaged_part_hides_its_collection_until_it_is_mended(gone: object) -> None:
    c = collection(7, state=CollectionState.CREATED)
    state = default(*records_of(c, collection(8)), events.AliasPut(Alias("a", 1, 7, ts(1))))
    state.on(events.Damaged(b"k", "nonsense", gone))
    assert state.collection(7) is None
    assert state.by_name(1, "c7") is None
    assert [each.id for each in state.collections(1)] == [8]
    for name in ("c7", "a"):
        with pytest.raises(CollectionNotFound):
            state.resolve("", name)
    assert state.channels_in_use()["by-dev-rootcoord-dml_7"] == 1
    assert state.is_damaged(b"k")
    state.on(events.CollectionPut(replace(c, fields=(), state=CollectionState.DROPPING)))
    assert not list(state.unfinished()), "nothing damaged is finished, which is to delete it"
    state.on(events.CollectionPut(replace(c, fields=())))
    state.on(events.Mended(b"k"))
    for event in records_of(c):
        state.on(event)
    assert state.by_id(7) == c
    assert state.damaged == ()


def test_a_damaged_record_is_not_there() -> None:
    state = default(*records_of(collection(7)))
    state.on(events.Damaged(b"c", "nonsense", events.CollectionDeleted(1, 7)))
    assert state.collection(7) is None
    state.on(events.Damaged(b"d", "nonsense", events.DatabaseDeleted(1)))
    assert state.database("") is None
    assert [each.key for each in state.damaged] == [b"c", b"d"]
    assert state.check() == []


def test_what_is_not_ours_goes_to_the_access_side() -> None:
    state = told(UserPut(User("u", "hash")))
    assert "1 users" in repr(state.access)


def test_many_partitions_in_any_order() -> None:
    numbers = list(range(2000))
    random.Random(1).shuffle(numbers)
    state = default(*(events.PartitionPut(partition(7, number)) for number in numbers))
    assert [p.id for p in state.partitions(7)] == sorted(numbers)
