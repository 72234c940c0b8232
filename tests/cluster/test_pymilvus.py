"""Users of pymilvus 2.2.17 get from a whole cluster what they would from Go: data and its names."""

from __future__ import annotations

import json

import pytest

from testing.cluster import Cluster
from testing.cluster_pymilvus import Pymilvus, PymilvusError, User, import_ended
from testing.cluster_rows import FIELDS, INDEX, at, ids, rows

pytestmark = [
    pytest.mark.etcd,
    pytest.mark.go,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(120),
]

INDEXED_ROWS = 2000  # fewer than 1024 in a segment are not indexed


async def make_loaded(user: User, name: str, ids: range = range(10), **how: object) -> None:
    """A collection with these rows, searchable."""
    await user.create_collection(name, FIELDS, **how)
    assert await user.insert(name, rows(ids)) == list(ids)
    await user.create_index(name, "vector", INDEX)
    await user.load(name)


async def test_rows_are_found_from_their_insertion_to_their_deletion(root: User) -> None:
    await root.create_collection("life", FIELDS, num_shards=2)
    await root.insert("life", rows(range(INDEXED_ROWS)))
    assert await root.flush("life") == INDEXED_ROWS
    assert await root.create_index("life", "vector", INDEX) == INDEXED_ROWS
    await root.load("life")

    assert await root.search("life", [at(5.2), at(-1.0)], 3) == [[5, 6, 4], [0, 1, 2]]
    assert await root.search("life", [at(5.2)], 2, "kind == 'even'") == [[6, 4]]
    found = await root.query("life", "id in [3, 4, 5000]", ["kind"])
    assert found == [{"id": 3, "kind": "odd"}, {"id": 4, "kind": "even"}]

    assert await root.delete("life", "id in [5, 6]") == 2
    assert await root.search("life", [at(5.2)], 3) == [[4, 7, 3]]
    await root.insert("life", rows([5]))  # not flushed: found in a growing segment
    assert await root.search("life", [at(5.2)], 3) == [[5, 4, 7]]

    await root.release("life")
    with pytest.raises(PymilvusError, match="has not been loaded"):
        await root.search("life", [at(5.2)], 3)
    await root.drop_collection("life")
    assert not await root.has_collection("life")
    assert "life" not in await root.list_collections()


async def test_a_name_that_was_dropped_can_be_used_anew(root: User) -> None:
    first = []
    for number in range(3):
        await make_loaded(root, "again", range(10 * number, 10 * number + 5))
        assert ids(await root.query("again", "id >= 0", [])) == list(
            range(10 * number, 10 * number + 5)
        )
        first.append((await root.describe("again"))["id"])
        await root.drop_collection("again")
    assert first == sorted(set(first))


async def test_the_same_collection_may_be_created_twice_but_no_other(root: User) -> None:
    await root.create_collection("twice", FIELDS)
    await root.create_collection("twice", FIELDS)
    with pytest.raises(PymilvusError):
        await root.create_collection("twice", FIELDS[:1] + FIELDS[2:])
    assert (await root.describe("twice"))["fields"] == ["id", "kind", "vector"]
    await root.drop_collection("twice")


async def test_aliases_lead_to_rows_and_follow_a_renamed_collection(root: User) -> None:
    await make_loaded(root, "spring", range(10))
    await make_loaded(root, "autumn", range(100, 110))
    await root.create_alias("spring", "season")
    assert await root.search("season", [at(3.1)], 1) == [[3]]
    assert (await root.describe("spring"))["aliases"] == ["season"]

    with pytest.raises(PymilvusError, match="already aliased to another collection"):
        await root.create_alias("autumn", "season")
    await root.alter_alias("autumn", "season")
    assert await root.search("season", [at(3.1)], 1) == [[100]]
    with pytest.raises(PymilvusError, match="cannot drop the collection via alias"):
        await root.drop_collection("season")

    await root.rename_collection("autumn", "fall")
    assert not await root.has_collection("autumn")
    assert await root.search("fall", [at(104.9)], 2) == [[105, 104]]
    described = await root.describe("season")
    assert (described["name"], described["aliases"]) == ("fall", ["season"])
    with pytest.raises(PymilvusError, match="duplicated new collection name"):
        await root.rename_collection("spring", "season")

    await root.drop_alias("season")
    assert not await root.has_collection("season")
    assert ids(await root.query("fall", "id < 103", [])) == [100, 101, 102]
    await root.drop_collection("spring")
    await root.drop_collection("fall")


async def test_rows_live_and_go_with_their_partition(root: User) -> None:
    await root.create_collection("parts", FIELDS)
    for partition in ("north", "south"):
        await root.create_partition("parts", partition)
    await root.insert("parts", rows(range(10)), "north")
    await root.insert("parts", rows(range(10, 20)), "south")
    await root.insert("parts", rows(range(20, 30)))
    assert sorted(await root.list_partitions("parts")) == ["_default", "north", "south"]

    await root.create_index("parts", "vector", INDEX)
    await root.load("parts")
    assert ids(await root.query("parts", "id >= 0", [])) == list(range(30))
    found = await root.query("parts", "id >= 0", [], partition_names=["south"])
    assert ids(found) == list(range(10, 20))

    await root.release("parts")
    await root.drop_partition("parts", "south")
    with pytest.raises(PymilvusError, match=r"(?i)default partition"):
        await root.drop_partition("parts", "_default")
    await root.create_partition("parts", "south")  # the same name, and nothing in it
    await root.load("parts")
    for partition, expected in {"north": range(10), "south": [], "_default": range(20, 30)}.items():
        found = await root.query("parts", "id >= 0", [], partition_names=[partition])
        assert ids(found) == list(expected)
    await root.drop_collection("parts")


async def test_a_partition_key_spreads_rows_and_finds_them(root: User) -> None:
    fields = [FIELDS[0], {**FIELDS[1], "is_partition_key": True}, FIELDS[2]]
    await root.create_collection("keyed", fields, num_partitions=4)
    assert sorted(await root.list_partitions("keyed")) == [f"_default_{n}" for n in range(4)]
    await root.insert("keyed", [{**row, "kind": f"k{row['id'] % 7}"} for row in rows(range(70))])
    await root.create_index("keyed", "vector", INDEX)
    await root.load("keyed")
    assert ids(await root.query("keyed", "kind == 'k3'", [])) == list(range(3, 70, 7))
    assert await root.search("keyed", [at(11.2)], 2, "kind in ['k3', 'k5']") == [[12, 10]]
    with pytest.raises(PymilvusError, match="partition key"):
        await root.create_partition("keyed", "mine")
    await root.drop_collection("keyed")


async def test_dynamic_fields_are_stored_and_filtered(root: User) -> None:
    await root.create_collection("open", FIELDS, dynamic=True)
    await root.insert("open", [{**row, "pages": row["id"] * 10} for row in rows(range(10))])
    await root.insert("open", rows(range(10, 12), title="late"))
    assert (await root.describe("open"))["dynamic"]
    await root.create_index("open", "vector", INDEX)
    await root.load("open")
    assert ids(await root.query("open", "pages > 70", [])) == [8, 9]
    assert await root.query("open", "title == 'late'", ["title"]) == [
        {"id": 10, "title": "late"},
        {"id": 11, "title": "late"},
    ]
    await root.drop_collection("open")


async def test_databases_keep_collections_of_one_name_apart(root: User, pymilvus: Pymilvus) -> None:
    await root.create_database("shelf")
    assert await root.list_databases() == ["default", "shelf"]
    there = await pymilvus.login("root", "Milvus", "shelf")
    await make_loaded(root, "same", range(5))
    await make_loaded(there, "same", range(50, 55))
    assert ids(await root.query("same", "id >= 0", [])) == list(range(5))
    assert ids(await there.query("same", "id >= 0", [])) == list(range(50, 55))
    assert await there.list_collections() == ["same"]

    with pytest.raises(PymilvusError, match="must drop all collections before drop database"):
        await root.drop_database("shelf")
    with pytest.raises(PymilvusError, match="already exist"):
        await root.create_database("shelf")
    with pytest.raises(PymilvusError, match="default"):
        await root.drop_database("default")

    await there.rename_collection("same", "moved", "default")
    assert await there.list_collections() == []
    assert ids(await root.query("moved", "id >= 0", [])) == list(range(50, 55))
    await root.drop_database("shelf")
    assert await root.list_databases() == ["default"]
    await root.drop_collection("same")
    await root.drop_collection("moved")


async def test_a_json_file_is_imported(root: User, milvus: Cluster) -> None:
    file = milvus.storage / "rows.json"
    file.write_text(json.dumps({"rows": rows(range(100))}))
    await root.create_collection("filed", FIELDS)
    task = await root.bulk_insert("filed", [str(file)])
    done = await import_ended(root, task)
    assert (done["state"], done["rows"]) == ("Completed", 100)
    assert done["infos"]["collection"] == "filed"
    assert await root.bulk_insert_tasks("filed") == [task]

    await root.create_index("filed", "vector", INDEX)
    await root.load("filed")
    assert ids(await root.query("filed", "id >= 0", [])) == list(range(100))
    assert await root.search("filed", [at(41.8)], 2) == [[42, 41]]

    task = await root.bulk_insert("filed", [str(milvus.storage / "none.json")])
    missing = await import_ended(root, task)
    assert missing["state"].startswith("Failed")
    assert "no such file" in missing["infos"]["failed_reason"]
    await root.drop_collection("filed")


@pytest.mark.parametrize("when", ["created", "altered"])
async def test_rows_older_than_the_collection_allows_are_compacted_away(
    root: User, when: str
) -> None:
    """Datacoord learns the time to live from rootcoord."""
    name, properties = f"short_{when}", {"collection.ttl.seconds": "1"}
    await root.create_collection(
        name, FIELDS, **({"properties": properties} if when == "created" else {})
    )
    await root.insert(name, rows(range(INDEXED_ROWS)))
    assert await root.flush(name) == INDEXED_ROWS
    await root.create_index(name, "vector", INDEX)  # what is not indexed is not compacted
    if when == "altered":
        await root.set_properties(name, properties)
    assert (await root.describe(name))["properties"] == properties

    await root.compact(name)
    await root.load(name)
    assert await root.query(name, "id >= 0", []) == []
    await root.drop_collection(name)
