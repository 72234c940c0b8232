"""`milvus doctor [ROLE]`: look at etcd, the clocks and the instances, and say what to mend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from milvus_coord.app.roles import ROLES
from milvus_coord.cli import doctor_dial, doctor_etcd, doctor_pair
from milvus_coord.cli.connection import CONNECT_S, Connection
from milvus_coord.cli.doctor_dial import dial_all
from milvus_coord.cli.doctor_facts import gather
from milvus_coord.cli.doctor_finding import Finding, Grade, warn
from milvus_coord.cli.format import printable
from milvus_coord.cli.ha_status_show import RoleSeen, see
from milvus_coord.cli.output import rendered
from milvus_coord.ha.pair.role_follower import RoleFollower
from milvus_coord.runtime.race import cancel_and_wait
from milvus_coord.runtime.taskgroup import TaskGroup

BAD: Final = 3
WARNINGS: Final = 4


async def doctor(connection: Connection, roles: Sequence[str], *, output: str) -> int:
    """Look, print a line for each finding, and return the exit code.

    0: all is well; 3: something is bad; 4: there are warnings only.
    """
    follower = RoleFollower(connection.etcd, connection.clock, connection.meta_root, tuple(roles))
    async with TaskGroup() as tasks:
        following = tasks.create_task(follower.run(), name="doctor.look")
        await follower.listed(CONNECT_S)
        facts = await gather(connection)
        await follower.statuses_fresh()
        seen = [await see(connection.etcd, follower, role) for role in roles]
        await cancel_and_wait(following)
    ticking = any(
        one.snapshot.leader and one.role in ROLES and ROLES[one.role].timestamp_bound
        for one in seen
    )
    settings = connection.settings
    bounds = doctor_etcd.Bounds(
        session_ttl_s=settings.common.session.ttl,
        serve_lease_s=settings.ha.serve_lease_ms / 1000,
        challenge_timeout_s=settings.ha.challenge_timeout_ms / 1000,
    )
    found = list(doctor_etcd.findings(facts, bounds, ticking=ticking))
    found += _pairs(connection, seen, settings.common.session.ttl)
    dialled = await dial_all({one.address for role in seen for one in role.snapshot.instances})
    found += [each for role in seen for each in doctor_dial.findings(role, dialled)]
    print(rendered(_facts(found), output, _lines(found)), end="")
    return exit_code(found)


def exit_code(found: Sequence[Finding]) -> int:
    """By the worst finding."""
    grades = {finding.grade for finding in found}
    if Grade.BAD in grades:
        return BAD
    return WARNINGS if Grade.WARN in grades else 0


def _pairs(connection: Connection, seen: Sequence[RoleSeen], ttl_s: float) -> list[Finding]:
    """The roles that have any key; a single role that was asked for is judged even without."""
    now_ms = connection.clock.wall_ns() // 1_000_000
    there = [one for one in seen if one.snapshot.exists or len(seen) == 1]
    if not there:
        return [
            warn(
                "roles",
                f"no coordinator has registered below {connection.meta_root}/session",
                "start one, or look at etcd.rootPath",
            )
        ]
    return [each for one in there for each in doctor_pair.findings(one, now_ms, ttl_s)]


def _lines(found: Sequence[Finding]) -> str:
    width = max(len(finding.what) for finding in found)
    lines = []
    for finding in found:
        advice = f" ({finding.advice})" if finding.advice else ""
        text = printable(finding.detail + advice)
        lines.append(f"{finding.grade.value:<4}  {finding.what:<{width}}  {text}")
    return "\n".join(lines) + "\n"


def _facts(found: Sequence[Finding]) -> dict[str, Any]:
    findings = [
        {
            "grade": finding.grade.value,
            "what": finding.what,
            "detail": finding.detail,
            "advice": finding.advice,
        }
        for finding in found
    ]
    return {"exit_code": exit_code(found), "findings": findings}
