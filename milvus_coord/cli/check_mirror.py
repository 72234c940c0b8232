"""`milvus check mirror [ROLE]`: whether every member holds in memory what etcd holds."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from milvus_coord.cli.output import rendered
from milvus_coord.cli.verbs import add_output, add_place

if TYPE_CHECKING:
    from milvus_coord.cli.connection import Connection
    from milvus_coord.cli.mirror_verdict import Verdict

EQUAL: Final = 0
DIFFERENT: Final = 3
NOT_ASKED: Final = 4
_LINE_MAX: Final = 200
_HEAD: Final = ("ROLE", "ID", "POSITION", "MIRROR", "REVISION", "KEYS", "DIGEST")
_MEANING: Final = """\
Ask every member of a role, active or standby, what its mirror of the metadata holds, read the same
revision from etcd afresh, and compare. It costs each member a second for 10,000 collections, in
slices.

exit codes:
  0  every member holds what etcd holds
  1  etcd could not be read
  2  a mistake in the settings or on the command line
  3  a member holds something else
  4  a member could not be asked or is of another version, or there is none; the others hold
     what etcd holds
"""


@dataclass(frozen=True, slots=True)
class RoleReport:
    """What came of one role; `together` compares its members with each other."""

    role: str
    verdicts: tuple[Verdict, ...]
    together: str


def add_to(commands: Any, roles: Sequence[str]) -> None:
    """Add `check` to the subcommands of the parser."""
    check = commands.add_parser("check", help="compare what members hold in memory with etcd")
    checks = check.add_subparsers(dest="check", metavar="COMMAND", required=True)
    mirror = checks.add_parser(
        "mirror",
        help="whether every member holds in memory what etcd holds",
        description=_MEANING,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    mirror.add_argument("role", metavar="ROLE", nargs="?", choices=roles, help=", ".join(roles))
    add_output(mirror)
    add_place(mirror)


def run(words: argparse.Namespace) -> int:
    """Check, print, and return the exit code."""
    from milvus_coord.app.roles import ROLES
    from milvus_coord.cli import connection

    roles = [words.role] if words.role else list(ROLES)
    if unknown := set(roles) - set(ROLES):
        print(f"milvus: {', '.join(unknown)} is not there yet, it has no mirror", file=sys.stderr)
        return connection.MISTAKE
    place = connection.Place(words.config, words.endpoints, words.root_path)
    return connection.run(lambda etcd: _check(etcd, roles, words.output), place, role=roles[0])


async def _check(connection: Connection, roles: Sequence[str], output: str) -> int:
    from milvus_coord.app.roles import ROLES
    from milvus_coord.cli.mirror_members import members_of
    from milvus_coord.cli.mirror_verdict import Judge, among_each_other

    token = connection.settings.ha.management_token.get_secret_value()
    reports = []
    for role in roles:
        judge = Judge(connection.etcd, ROLES[role].mirrored(connection.meta_root), token)
        members = await members_of(connection.etcd, connection.keys(role))
        verdicts = tuple([await judge.judge(member) for member in members])
        reports.append(RoleReport(role, verdicts, among_each_other(verdicts)))
    print(rendered(_facts(reports), output, _table(reports)), end="")
    return exit_code([verdict for report in reports for verdict in report.verdicts])


def exit_code(verdicts: Sequence[Verdict]) -> int:
    """A difference counts more than a member that could not be asked."""
    from milvus_coord.cli.mirror_verdict import Finding

    findings = {verdict.finding for verdict in verdicts}
    if Finding.DIFFERENT in findings:
        return DIFFERENT
    return EQUAL if findings == {Finding.EQUAL} else NOT_ASKED


def _table(reports: Sequence[RoleReport]) -> str:
    rows: list[tuple[str, ...]] = [_HEAD]
    details: list[str] = []
    for report in reports:
        for verdict in report.verdicts:
            rows.append(_row(report.role, verdict))
            details += _details(report.role, verdict)
        if not report.verdicts:
            details.append(f"{report.role}: no instance of ours says in etcd that it is there")
        if report.together:
            details.append(f"{report.role}: {report.together}")
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return "\n".join([*(lines if len(lines) > 1 else ()), *details, ""])


def _row(role: str, verdict: Verdict) -> tuple[str, ...]:
    member, said = verdict.member, verdict.digest
    facts = (str(said.revision), str(said.keys), said.digest[:12]) if said else ("-", "-", "-")
    return (role, member.name, member.position, verdict.finding.value, *facts)


def _details(role: str, verdict: Verdict) -> list[str]:
    if not verdict.why:
        return []
    return [
        f"{role} {verdict.member.name}: {verdict.why}",
        *(f"  only in memory: {_short(line)}" for line in verdict.in_memory),
        *(f"  only in etcd:   {_short(line)}" for line in verdict.in_etcd),
    ]


def _short(line: str) -> str:
    return line if len(line) <= _LINE_MAX else f"{line[:_LINE_MAX]}..."


def _facts(reports: Sequence[RoleReport]) -> dict[str, Any]:
    roles = [
        {
            "role": report.role,
            "members": [_member(verdict) for verdict in report.verdicts],
            "together": report.together,
        }
        for report in reports
    ]
    return {"roles": roles}


def _member(verdict: Verdict) -> dict[str, object]:
    name = verdict.member.name
    return {
        "server_id": int(name) if name.isdecimal() else name,
        "position": verdict.member.position,
        "management": verdict.member.management,
        "mirror": verdict.finding.value,
        "why": verdict.why,
        **(asdict(verdict.digest) if verdict.digest else {}),
        "only_in_memory": verdict.in_memory,
        "only_in_etcd": verdict.in_etcd,
    }
