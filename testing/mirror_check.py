"""After a fault: every rootcoord of the test holds in memory what etcd holds, or the test fails."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from milvus_coord.app.roles import ROLES
from milvus_coord.cli.mirror_members import Member
from milvus_coord.cli.mirror_verdict import Finding, Judge, Verdict, among_each_other
from milvus_coord.etcd.client.client import EtcdClient
from milvus_coord.etcd.settings import EtcdSettings
from milvus_coord.runtime.clock import SystemClock
from testing.ours import OurRole

META_ROOT: Final = "by-dev/meta"
WITHIN_S: Final = 10.0


async def verdicts_on(endpoints: Sequence[str], roles: Sequence[OurRole]) -> list[Verdict]:
    """One for each that runs, asked at its management port, whatever it says in etcd."""
    async with asked(endpoints) as etcd:
        judges: dict[str, Judge] = {}
        found = []
        for role in (each for each in roles if each.running):
            if role.role not in judges:
                judges[role.role] = Judge(etcd, ROLES[role.role].mirrored(META_ROOT))
            member = Member(role.name, "running", f"127.0.0.1:{role.metrics_port}")
            found.append(await judges[role.role].judge(member))
        return found


async def check_mirrors(endpoints: Sequence[str], *roles: OurRole) -> None:
    """Fail unless each role that runs holds what etcd holds at its revision; one at least must run.

    To be called at the end of a fault test, when etcd answers again. A mirror that is being read
    anew is waited for; one whose process is stopped (SIGSTOP) cannot be asked.
    """
    deadline = time.monotonic() + WITHIN_S
    while True:
        found = await verdicts_on(endpoints, roles)
        wrong = [each for each in found if each.finding is not Finding.EQUAL]
        if not any(each.finding is Finding.NOT_ASKED for each in wrong):
            break
        assert time.monotonic() < deadline, f"not asked: {wrong}"
        await asyncio.sleep(0.1)
    assert found, "no process was there to be asked"
    assert not wrong, f"{wrong}; {among_each_other(found)}"


@asynccontextmanager
async def asked(endpoints: Sequence[str]) -> AsyncIterator[EtcdClient]:
    etcd = EtcdClient(EtcdSettings(tuple(endpoints)), SystemClock())
    try:
        await etcd.connect(timeout_s=WITHIN_S)
        yield etcd
    finally:
        await etcd.close()
