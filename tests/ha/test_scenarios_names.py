"""S32: etcd moves to another address under the same name.

Each process has a hosts file of its own, which says where etcd is now.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

import pytest

from testing.hammer import Hammer
from testing.ours import OurRole
from testing.ports import free_ports
from tests.conftest import StartEtcd
from tests.ha.conftest import StartRole
from tests.ha.test_etcd_trouble import epoch_of, last_try, still_the_same
from tests.ha.test_takeover import answers, taken_over
from tests.rig.extras import PATIENT
from tests.rig.relay import Relay

_NAME: Final = "etcd.example"
_HERE, _THERE = "127.0.0.1", "127.0.0.2"

_UNSHARE: Final = shutil.which("unshare")

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or _UNSHARE is None,
    reason="a hosts file of one's own needs root and unshare (util-linux)",
)


def resolve(hosts: Path, address: str) -> None:
    """In place: the file is mounted."""
    hosts.write_text(f"127.0.0.1 localhost\n{address} {_NAME}\n")


def with_hosts(role: OurRole, hosts: Path) -> OurRole:
    assert _UNSHARE is not None
    mounted = 'mount --bind "$0" /etc/hosts && exec "$@"'
    role.argv[:0] = [_UNSHARE, "--mount", "/bin/sh", "-c", mounted, str(hosts)]
    return role


@pytest.mark.timeout(120)
async def test_etcd_moves_under_its_name(
    start_etcd: StartEtcd, rootcoord: StartRole, tmp_path: Path
) -> None:
    etcd = await start_etcd(1)
    hosts = tmp_path / "hosts"
    resolve(hosts, _HERE)
    (port,) = free_ports(1)
    old, new = (
        Relay(f"{address}:{port}", etcd.endpoints[0], folder=tmp_path, name=name)
        for address, name in ((_HERE, "old"), (_THERE, "new"))
    )
    try:
        old.start()
        active, standby = (
            with_hosts(rootcoord([f"{_NAME}:{port}"], session_ttl_s=60, env=PATIENT), hosts)
            for _ in range(2)
        )
        active.start()
        await active.wait_active()
        standby.start()
        await standby.wait_standby()
        epoch = await epoch_of(active)
        async with Hammer([active.address, standby.address], folder=tmp_path) as hammer:
            await answers(hammer, active)
            new.start()
            await new.wait_line(f"forwarding {_THERE}:{port}")
            resolve(hosts, _THERE)
            old.kill()
            moved_s = last_try(hammer)
            await still_the_same(hammer, active, epoch, since_s=moved_s)
            await standby.wait_line("etcd watch resumed")
            active.kill()
            await taken_over(hammer, active, standby)
    finally:
        old.kill()
        new.kill()
