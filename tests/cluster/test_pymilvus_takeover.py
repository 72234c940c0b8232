"""The active rootcoord ends while pymilvus 2.2.17 is at work; users see pauses and no damage."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from testing.cluster import Cluster, Fault, pair_under_test
from testing.cluster_pymilvus import Pymilvus, PymilvusError, User, import_ended
from testing.cluster_rows import FIELDS, INDEX, at, ids, rows

pytestmark = [
    pytest.mark.etcd,
    pytest.mark.go,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(180),
]

FAULTS: list[Fault] = ["SIGTERM", "SIGKILL"]
BATCH = 10
NO_ROOTCOORD = "connection refused|connection error|context deadline|EOF|is not serving"
REFUSED_MAX = 4
BEFORE, AFTER = 3, 5  # rounds of each worker that the takeover has to lie between


@dataclass
class Tally:
    """What the users of one takeover did, as far as pymilvus said that it is done."""

    tried: list[int] = field(default_factory=list)
    inserted: list[int] = field(default_factory=list)
    found: int = 0
    collections: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    @property
    def rounds(self) -> int:
        """Of the slowest."""
        return min(self.found, len(self.collections))


@pytest.mark.parametrize("fault", FAULTS)
async def test_work_goes_on_through_a_takeover(root: User, milvus: Cluster, fault: Fault) -> None:
    busy = f"busy_{fault}"
    await root.create_collection(busy, FIELDS, num_shards=2)
    await root.create_index(busy, "vector", INDEX)
    await root.load(busy)
    tally, over = Tally(), asyncio.Event()
    async with asyncio.TaskGroup() as workers:
        workers.create_task(read_and_write(root, busy, tally, over), name="rows")
        workers.create_task(create_on(root, f"made_{fault}", tally, over), name="collections")
        await rounds_done(tally, BEFORE)
        await milvus.end_active(fault)
        await rounds_done(tally, tally.rounds + AFTER)
        over.set()
    await milvus.revive_standby()

    found = ids(await root.query(busy, "id >= 0", []))
    assert len(found) == len(set(found))
    assert set(tally.inserted) <= set(found) <= set(tally.tried)
    assert await root.flush(busy) == len(found)
    made = tally.collections
    assert [(await root.describe(name))["name"] for name in made] == made
    await root.insert(made[-1], rows([1]))
    assert await root.flush(made[-1]) == 1
    for name in (busy, *made):
        await root.drop_collection(name)
    if fault == "SIGTERM":
        assert tally.refused == []
    # Go proxies try again for some seconds, which a session that has to expire may outlast.
    assert all(re.search(NO_ROOTCOORD, refusal) for refusal in tally.refused), tally.refused
    assert len(tally.refused) <= REFUSED_MAX


@pytest.mark.parametrize("fault", FAULTS)
async def test_what_was_there_before_is_there_after(
    root: User, milvus: Cluster, pymilvus: Pymilvus, fault: Fault
) -> None:
    kept, held, gone, role, user = (
        f"{n}_{fault}" for n in ("kept", "held", "gone", "role", "user")
    )
    properties = {"collection.ttl.seconds": "3600"}
    before = await root.list_databases()
    await root.create_database(kept)
    await root.create_collection(kept, FIELDS, dynamic=True, properties=properties)
    await root.create_partition(kept, "north")
    await root.insert(kept, rows(range(10), pages=7), "north")
    await root.create_index(kept, "vector", INDEX)
    await root.load(kept)
    await root.create_alias(kept, held)
    await root.create_collection(gone, FIELDS)
    await root.drop_collection(gone)
    await root.create_user(user, "password")
    await root.create_role(role)
    await root.add_user_to_role(role, user)
    await root.grant(role, "Collection", kept, "Query")
    known = await root.describe(kept)

    await milvus.take_over(fault)

    assert await root.describe(held) == known
    assert await root.list_databases() == [*before, kept]
    assert sorted(await root.list_partitions(kept)) == ["_default", "north"]
    assert not await root.has_collection(gone)
    assert await root.search(held, [at(4.1)], 2) == [[4, 5]]
    assert ids(await root.query(kept, "pages == 7", [], partition_names=["north"])) == [*range(10)]
    assert (await root.list_roles())[role] == [user]
    assert await root.list_grants(role) == [["Collection", kept, "Query", "root"]]
    guest = await pymilvus.login(user, "password")
    assert ids(await guest.query(kept, "id < 3", [])) == [0, 1, 2]
    with pytest.raises(PymilvusError, match="permission deny"):
        await guest.insert(kept, rows([99], pages=7))

    await root.insert(kept, rows(range(10, 20), pages=8), "north")
    assert await root.delete(kept, "id in [4]") == 1
    assert await root.search(held, [at(4.1)], 2) == [[5, 3]]
    assert await root.flush(kept) == 20
    await root.revoke(role, "Collection", kept, "Query")
    await root.drop_role(role)
    await root.delete_user(user)
    await root.drop_alias(held)
    await root.drop_collection(kept)
    await root.drop_database(kept)
    assert await root.list_databases() == before


async def test_altered_properties_outlive_their_rootcoord(root: User, milvus: Cluster) -> None:
    """Go 2.2.16 writes the old ones down once more, and forgets the new ones."""
    if "go" in pair_under_test():
        pytest.skip("Go 2.2.16 forgets them")
    await root.create_collection("altered", FIELDS)
    await root.set_properties("altered", {"collection.ttl.seconds": "60"})
    await milvus.take_over("SIGKILL")
    assert (await root.describe("altered"))["properties"] == {"collection.ttl.seconds": "60"}
    await root.drop_collection("altered")


async def test_an_import_works_after_a_takeover(root: User, milvus: Cluster) -> None:
    """One that is under way fails with the rootcoord that began it; so it does in Go."""
    file = milvus.storage / "late.json"
    file.write_text(json.dumps({"rows": rows(range(50))}))
    await root.create_collection("late", FIELDS)
    first = await root.bulk_insert("late", [str(file)])
    await milvus.take_over("SIGTERM")
    assert (await import_ended(root, first))["state"] in (
        "Completed",
        "Failed",
        "Failed and cleaned",
    )

    await root.create_collection("later", FIELDS)
    second = await root.bulk_insert("later", [str(file)])
    done = await import_ended(root, second)
    assert (done["state"], done["rows"]) == ("Completed", 50)
    assert await root.bulk_insert_tasks("later") == [second]
    await root.create_index("later", "vector", INDEX)
    await root.load("later")
    assert ids(await root.query("later", "id >= 0", [])) == list(range(50))
    await root.drop_collection("late")
    await root.drop_collection("later")


async def read_and_write(user: User, name: str, tally: Tally, over: asyncio.Event) -> None:
    """What is nearest to a row that was inserted is that row."""
    for first in itertools.count(step=BATCH):
        if over.is_set():
            return
        batch = range(first, first + BATCH)
        tally.tried += batch
        with noted(tally):
            await user.insert(name, rows(batch))
            tally.inserted += batch
            assert await user.search(name, [at(batch[-1] + 0.1)], 2) == [[batch[-1], batch[-2]]]
            tally.found += 1


async def create_on(user: User, prefix: str, tally: Tally, over: asyncio.Event) -> None:
    for number in itertools.count():
        if over.is_set():
            return
        with noted(tally):
            await user.create_collection(f"{prefix}_{number}", FIELDS)
            tally.collections.append(f"{prefix}_{number}")


@contextmanager
def noted(tally: Tally) -> Iterator[None]:
    try:
        yield
    except PymilvusError as refusal:
        tally.refused.append(str(refusal))


async def rounds_done(tally: Tally, rounds: int, within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while tally.rounds < rounds:
        assert time.monotonic() < deadline, tally
        await asyncio.sleep(0.02)
