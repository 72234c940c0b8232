"""The commands of docs/backup.md, under a pair that runs."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

from testing.etcd import EtcdMember, binary
from tests.ha.conftest import StartRole, started_pair
from tests.ha.test_etcd_trouble import one_leads
from tests.ha.test_replaced_etcd import REPLACED, create, mirrors_equal, roles_of

ROOT = Path(__file__).parents[2]


def block(name: str) -> str:
    """The commands of one block."""
    text = (ROOT / "docs/backup.md").read_text()
    found = re.search(rf"^ *```sh {name}\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE)
    assert found, name
    return textwrap.dedent(found[1])


async def shell(name: str, etcd: EtcdMember, backup: Path) -> None:
    """Run a block as it stands."""
    places = [Path(sys.executable).parent, Path(binary("etcdctl")).parent]
    env = {
        "PATH": ":".join([*map(str, places), os.environ["PATH"]]),
        "PYTHONPATH": str(ROOT),
        "ETCDCTL_API": "3",
        "ETCD_ENDPOINTS": etcd.client_endpoint,
        "ENDPOINT": etcd.client_endpoint,
        "BACKUP": str(backup),
        "DATA_DIR": str(etcd.directory / "data"),
        "NAME": etcd.name,
        "INITIAL_CLUSTER": f"{etcd.name}={etcd.peer_url}",
        "PEER_URL": etcd.peer_url,
    }
    argv = ["bash", "-euc", block(name)]
    run = await asyncio.to_thread(
        subprocess.run, argv, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run


async def test_saved_and_restored_as_written(
    etcd: EtcdMember, rootcoord: StartRole, tmp_path: Path
) -> None:
    active, standby = await started_pair(rootcoord, etcd.endpoints, session_ttl_s=60)
    await create(active, "kept")
    await shell("save", etcd, tmp_path / "backup.db")
    await create(active, "lost")
    await etcd.stop()
    await shell("restore", etcd, tmp_path / "backup.db")
    await etcd.start()
    await active.wait_line(REPLACED)
    await standby.wait_line(REPLACED)
    leader = await one_leads(active, standby)
    await mirrors_equal(etcd, active, standby)
    await (standby if leader is active else active).wait_standby()
    await shell("look", etcd, tmp_path / "backup.db")
    names = await roles_of(leader)
    assert "kept" in names
    assert "lost" not in names
