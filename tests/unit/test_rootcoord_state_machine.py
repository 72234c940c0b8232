"""The state follows keys that change at random, and is what a fresh reading of them would be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from milvus_coord.coordinators.rootcoord.metadata import catalog_keys as keys
from milvus_coord.coordinators.rootcoord.metadata import catalog_values as values
from milvus_coord.coordinators.rootcoord.metadata.catalog import Catalog
from milvus_coord.coordinators.rootcoord.metadata.catalog_snapshots import TOMBSTONE
from milvus_coord.coordinators.rootcoord.metadata.events import AliasHome
from milvus_coord.coordinators.rootcoord.metadata.image import MetaImage
from milvus_coord.coordinators.rootcoord.metadata.state import MetaState
from milvus_coord.model.collection import CollectionState, PartitionState
from milvus_coord.model.database import Alias, Database
from milvus_coord.model.errors import CollectionNotFound
from testing.forms import examples
from testing.metadata import FIELDS, META_ROOT, collection, partition, ts

CATALOG = Catalog(META_ROOT)

database_ids = st.integers(0, 3)
collection_ids = st.integers(10, 13)
states = st.sampled_from(CollectionState)
some_names = st.sampled_from(["a", "b", "c"])


def view(state: MetaState) -> dict[str, Any]:
    """Every answer there is."""
    every = range(9, 15)
    return {
        "databases": list(state.databases()),
        "collections": [state.collection(each) for each in every],
        "partitions": [state.partitions(each) for each in every],
        "aliases": [state.aliases_of(each) for each in every],
        "named": [state.by_name(db, name) for db in range(4) for name in "abc"],
        "meant": [meant(state, db, name) for db in ("", "a", "b", "c") for name in "abc"],
        "alias": [state.alias(db, name) for db in range(4) for name in "abc"],
        "listed": [sorted(c.id for c in state.collections(db)) for db in range(4)],
        "counts": [state.count(db) for db in (None, 1, 2, 3)],
        "unfinished": list(state.unfinished()),
        "dropping": list(state.dropping_partitions()),
        "channels": state.channels_in_use(),
        "old layouts": list(state.old_layouts()),
        "old aliases": sorted(map(str, state.old_aliases())),
        "damaged": state.damaged,
    }


def meant(state: MetaState, db: str, name: str) -> object:
    try:
        return state.resolve(db, name)
    except CollectionNotFound as error:
        return str(error)


class Metadata(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.stored: dict[bytes, bytes] = {}
        self.image = MetaImage.maker(CATALOG)()

    def write(self, key: str, value: bytes) -> None:
        full = CATALOG.snapshots.plain(key.encode())
        self.stored[full] = value
        self.image.put(full, value)

    @rule(db=st.integers(1, 3), name=some_names)
    def database(self, db: int, name: str) -> None:
        name = "default" if db == 1 else name
        self.write(keys.database_key(db), values.encode_database(Database(db, name, db)))

    @rule(
        db=database_ids,
        number=collection_ids,
        name=some_names,
        state=st.sampled_from(CollectionState),
    )
    def record(self, db: int, number: int, name: str, state: CollectionState) -> None:
        c = replace(collection(number, name, db_id=db, state=state), fields=())
        self.write(keys.collection_key(db, number), values.encode_collection(c))

    @rule(number=collection_ids, field=st.sampled_from(FIELDS), text=st.sampled_from(["", "x"]))
    def field(self, number: int, field: Any, text: str) -> None:
        value = values.encode_field(replace(field, description=text))
        self.write(keys.field_key(number, field.id), value)

    @rule(number=collection_ids, part=st.integers(1, 3), state=st.sampled_from(PartitionState))
    def partition(self, number: int, part: int, state: PartitionState) -> None:
        value = values.encode_partition(partition(number, part, state=state))
        self.write(keys.partition_key(number, part), value)

    @rule(db=database_ids, name=some_names, to=collection_ids, home=st.sampled_from(AliasHome))
    def alias(self, db: int, name: str, to: int, home: AliasHome) -> None:
        if home is AliasHome.OLDEST:
            value = values.encode_collection(replace(collection(to, name), fields=()))
        else:
            value = values.encode_alias(Alias(name, db, to, ts(1)))
        self.write(keys.alias_key(db, name, home), value)

    @rule(data=st.data(), value=st.sampled_from([TOMBSTONE, b"", b"\xff", b"\x0a\x05ab"]))
    def spoil(self, data: st.DataObject, value: bytes) -> None:
        if self.stored:
            key = data.draw(st.sampled_from(sorted(self.stored)))
            self.stored[key] = value
            self.image.put(key, value)

    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        if self.stored:
            key = data.draw(st.sampled_from(sorted(self.stored)))
            del self.stored[key]
            self.image.delete(key)

    @rule(data=st.data())
    def read_anew_in_any_order(self, data: st.DataObject) -> None:
        self.compare(data.draw(st.permutations(sorted(self.stored))))

    @invariant()
    def nothing_contradicts_itself(self) -> None:
        assert self.image.state.check() == []

    def teardown(self) -> None:
        self.compare(sorted(self.stored))

    def compare(self, order: list[bytes]) -> None:
        fresh = MetaImage.maker(CATALOG)()
        for key in order:
            fresh.put(key, self.stored[key])
        assert fresh.state.check() == []
        assert view(fresh.state) == view(self.image.state)


Metadata.TestCase.settings = settings(max_examples=examples(60), stateful_step_count=40)
TestMetadata = Metadata.TestCase
