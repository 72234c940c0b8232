"""A pair is updated one process at a time: the version before and this one in one pair."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from milvus_coord.cli.mirror_verdict import Finding
from testing.cli import milvus
from testing.ddl_callers import calling, collection
from testing.ddl_client import RootClient
from testing.ddl_scene import scene
from testing.etcd import EtcdMember
from testing.hammer import Hammer
from testing.mirror_check import verdicts_on
from testing.ours import OurRole
from testing.sightings import Method
from tests.ha.conftest import StartRole

pytestmark = pytest.mark.etcd

BEFORE: Final = "1a8704d"
"""The last commit that mirrored one prefix and wrote its marks below it."""
STATEMENTS: Final = 60
_ROOT: Final = Path(__file__).parents[2]
_OLD_MARKS: Final = b"by-dev/meta/root-coord/ha/"
_MARK: Final = b"by-dev/meta/ha/rootcoord/mark"


@pytest.fixture(scope="module")
def old_code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package as it was; where the history of the clone is cut, skipped.

    In continuous integration, which has the history, that fails: nobody would see it otherwise.
    """
    give_up = pytest.fail if os.environ.get("HISTORY_REQUIRED") else pytest.skip
    git = shutil.which("git")
    if git is None:
        give_up("there is no git")
    asking = [git, "-C", str(_ROOT), "cat-file", "-e", f"{BEFORE}^{{commit}}"]
    known = subprocess.run(asking, check=False, capture_output=True)
    if known.returncode != 0:
        give_up(f"commit {BEFORE} is not in the history of this clone")
    folder = tmp_path_factory.mktemp("before")
    archive = folder / "before.tar"
    words = [git, "-C", str(_ROOT), "archive", "-o", str(archive), BEFORE, "milvus_coord", "config"]
    subprocess.run(words, check=True)
    shutil.unpack_archive(archive, folder)
    return folder


async def switch_over(etcd: EtcdMember, former: OurRole, heir: OurRole) -> None:
    """By the command of this version, whatever versions the two are of."""
    said = await milvus("switchover", "rootcoord", etcd=etcd.endpoints)
    assert said.code == 0, said.err
    await heir.wait_active()
    await former.wait_standby()


async def check(etcd: EtcdMember, new: OurRole, old: OurRole, old_code: Path) -> None:
    """The new one holds what etcd holds, the old one says so of itself by its own code."""
    ours, theirs = await verdicts_on(etcd.endpoints, (new, old))
    assert ours.finding is Finding.EQUAL, ours
    assert theirs.finding is Finding.OTHER_VERSION, theirs
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "milvus_coord", "check", "mirror", "rootcoord", "-o", "json"),
        cwd=old_code,
        env={"PYTHONPATH": str(old_code), "ETCD_ENDPOINTS": etcd.client_endpoint},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    (role,) = json.loads(out)["roles"]
    said = {each["management"].rpartition(":")[2]: each["mirror"] for each in role["members"]}
    assert said[str(old.metrics_port)] == "equal", role


class Kept:
    """A user and an import task are made under each active; all later ones know them."""

    def __init__(self, client: RootClient) -> None:
        self._client = client
        self._users: set[str] = set()
        self._tasks: set[int] = set()

    async def one_more(self) -> None:
        name = f"user_{len(self._users)}"
        if not self._users:
            await self._client.ask("CreateCollection", **collection("imported"))
        await self._client.ask("UpdateCredential", username=name, encrypted_password="$2a$04$x")
        self._users.add(name)
        imported = await self._client.ask(
            "Import", collection_name="imported", files=[f"{name}.json"]
        )
        self._tasks.update(imported.tasks)
        await self.check()

    async def check(self) -> None:
        users = await self._client.ask("ListCredUsers")
        assert self._users <= set(users.usernames)
        tasks = await self._client.ask("ListImportTasks", collection_name="imported", limit=100)
        assert self._tasks <= {task.id for task in tasks.tasks}

    async def drop(self) -> None:
        await self._client.ask("DropCollection", collection_name="imported")


@pytest.mark.timeout(240)
async def test_a_pair_of_two_versions_hands_over_both_ways(
    etcd: EtcdMember, rootcoord: StartRole, old_code: Path, tmp_path: Path
) -> None:
    old = rootcoord(etcd.endpoints, env={"PYTHONPATH": str(old_code)}, session_ttl_s=10)
    new = rootcoord(etcd.endpoints, session_ttl_s=10)
    async with scene(etcd.endpoints) as playing:
        kept = Kept(playing.client)
        old.start()
        await old.wait_active()
        new.start()
        await new.wait_standby()
        async with (
            Hammer([old.address, new.address], folder=tmp_path) as hammer,
            calling(playing.client, stubborn=6, fickle=2) as callers,
        ):
            await callers.more(STATEMENTS, by=old.address)
            await kept.one_more()
            await check(etcd, new, old, old_code)
            await switch_over(etcd, old, new)
            await callers.more(STATEMENTS, by=new.address)
            await kept.one_more()
            await check(etcd, new, old, old_code)
            await switch_over(etcd, new, old)
            await callers.more(STATEMENTS, by=old.address)
            await kept.one_more()
            await check(etcd, new, old, old_code)
            old.kill()
            await new.wait_active()
            await callers.more(STATEMENTS, by=new.address)
            await kept.one_more()
            old.start()
            await old.wait_standby()
            new.kill()
            await old.wait_active()
            await callers.more(STATEMENTS, by=old.address)
            await kept.one_more()
            new.start()
            await new.wait_standby()
            await check(etcd, new, old, old_code)
            await switch_over(etcd, old, new)
            new.terminate()
            await old.wait_active()
            assert await new.wait_exit() == 0
            await callers.more(STATEMENTS, by=old.address)
            await kept.one_more()
        await kept.drop()
        await playing.verify(callers, old.address)
        below = [kv.key for kv in (await playing.etcd.range(_OLD_MARKS)).kvs]
        assert _OLD_MARKS + b"mark" in below, "the old one writes its own mark"
        assert (await playing.etcd.get(_MARK)).kv is not None
    seen = hammer.sightings()
    seen.check_tenures(*[old.address, new.address] * 3, old.address)
    for method in (Method.ALLOC_TIMESTAMP, Method.ALLOC_ID):
        seen.check_values(method, at_least=100)


@pytest.mark.timeout(120)
async def test_the_last_of_the_old_ones_goes(
    etcd: EtcdMember, rootcoord: StartRole, old_code: Path
) -> None:
    """Two old ones become two new ones; what the old ones left is in nobody's way."""
    first = rootcoord(etcd.endpoints, env={"PYTHONPATH": str(old_code)})
    second = rootcoord(etcd.endpoints)
    async with scene(etcd.endpoints) as playing:
        first.start()
        await first.wait_active()
        async with calling(playing.client, stubborn=6, fickle=2) as callers:
            await callers.more(STATEMENTS)
            second.start()
            await second.wait_standby()
            first.terminate()
            await second.wait_active()
            assert await first.wait_exit() == 0
            third = rootcoord(etcd.endpoints)
            third.start()
            await third.wait_standby()
            await callers.more(STATEMENTS, by=second.address)
            second.kill()
            await third.wait_active()
            await callers.more(STATEMENTS, by=third.address)
        await playing.verify(callers, third.address)
        (verdict,) = await verdicts_on(etcd.endpoints, (third,))
        assert verdict.finding is Finding.EQUAL, verdict
