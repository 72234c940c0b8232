"""The verbs about a pair that runs: their place on the command line, and which code they call."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from milvus_coord.cli.output import FORMATS

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from milvus_coord.cli.connection import Connection

VERBS: Final = ("status", "history", "pause", "resume", "switchover", "wait", "doctor")

_PAUSE_S_MAX: Final = 7 * 86_400
_TEXT_MAX: Final = 1000
_ALWAYS: Final = """
  1    etcd cannot be reached, or did not do as it was told
  2    a mistake in the settings or on the command line
"""
_STATUS: Final = f"""\
Show all instances of a role, or of all roles: who leads, who stands by and how ready it is.
An instance of ours writes its status each second; one that has been silent for 2.5 s is called
stale. etcd keeps no times, so this command listens until each instance has written once more.

columns:
  READY    whether this standby would take over at once; Go's do not say (?)
  HTTP     the management port
  LEASE    how long ago the session lease was renewed; for a Go coordinator what it has left
  SERVE    how long ago the leader has proven that it may answer
  BEHIND   revisions of etcd that its metadata in memory has not seen yet

exit codes (the worst of all roles shown; 0 with -w, which ends by Ctrl-C):
  0    there are an active and a standby that is ready (or a Go standby){_ALWAYS}\
  3    nobody leads
  4    somebody leads, but no standby is ready
"""
_HISTORY: Final = f"""\
Show the last takeovers, the newest first: when, who from whom, why, and the milliseconds of each
phase. DOWN is the time without service, their sum; ">" stands before it when nobody saw the leader
before end, and "never" for it when the new leader did not come to serve. FROM is in brackets when
the key was free: who had led the last time.

exit codes:
  0    done{_ALWAYS}"""
_PAUSE: Final = f"""\
No early replacement of a leader that is silent or dead, and no switchover, until it is resumed. A
leader whose lease ends or that stops in order is still replaced.

exit codes:
  0    it is paused, by this command or before{_ALWAYS}\
  3    refused: nobody has registered
"""
_RESUME: Final = f"""\
End a pause.

exit codes:
  0    it is not paused any more, or was not{_ALWAYS}\
  3    refused: nothing is paused, and nobody has registered
"""
_SWITCHOVER: Final = f"""\
Ask the active to hand over to a ready standby, and wait until that one serves. The former active
becomes a standby; if it takes more than three seconds it may still be on its way there.

exit codes:
  0    done{_ALWAYS}\
  3    refused, or not as asked for: nobody leads, a Go coordinator leads, it is paused, no standby
       is ready, the one named is unknown, not ready or leads already, another took over meanwhile
"""
_WAIT: Final = f"""\
Wait until somebody leads (--for active), or until a standby could take over, too (--for ready).

exit codes:
  0    it is so{_ALWAYS}\
  3    after --timeout nobody leads
  4    after --timeout somebody leads, but no standby is ready
"""
_DOCTOR: Final = f"""\
Look at etcd, the clocks and the instances. A line for each finding: ok, warn or bad, what it is
about, what was found, and what to do.

exit codes:
  0    all is well{_ALWAYS}\
  3    something is bad: a failover would fail, or data is at risk
  4    there are warnings only
"""


def add_to(commands: Any, roles: Sequence[str]) -> None:
    """Add all verbs to the subcommands of the parser."""
    status = _add(commands, "status", "who leads, who stands by, how ready", _STATUS)
    _role(status, roles, one=False)
    add_output(status)
    status.add_argument("-w", "--watch", action="store_true", help="show each change until Ctrl-C")

    history = _add(commands, "history", "the last takeovers", _HISTORY)
    _role(history, roles, one=False)
    add_output(history)
    history.add_argument(
        "-n", metavar="COUNT", dest="count", type=_count, default=20, help="how many (20)"
    )

    pause = _add(commands, "pause", "no early replacement and no switchover", _PAUSE)
    _role(pause, roles, one=True)
    add_output(pause)
    pause.add_argument(
        "--reason", metavar="TEXT", type=_text, default="", help="for those who ask later"
    )
    pause.add_argument(
        "--for",
        metavar="TIME",
        dest="for_s",
        type=_span,
        default=0,
        help="it ends by itself, even with nobody there: 90s, 10m, 2h (until it is resumed)",
    )

    resume = _add(commands, "resume", "end a pause", _RESUME)
    _role(resume, roles, one=True)
    add_output(resume)

    switchover = _add(commands, "switchover", "let a standby lead", _SWITCHOVER)
    _role(switchover, roles, one=True)
    switchover.add_argument(
        "--to", metavar="ID", type=_count, default=0, help="server id of the standby (any)"
    )
    switchover.add_argument(
        "--from", metavar="ID", dest="former", type=_count, default=0, help="only if this one leads"
    )
    switchover.add_argument(
        "--reason", metavar="TEXT", type=_text, default="", help="for the history"
    )
    switchover.add_argument("--dry-run", action="store_true", help="say what would be, ask nobody")
    add_output(switchover)
    switchover.add_argument(
        "--timeout", metavar="SECONDS", type=_timeout, default=10.0, help="how long to wait (10)"
    )

    wait = _add(commands, "wait", "until somebody leads, or a standby is ready", _WAIT)
    _role(wait, roles, one=True)
    add_output(wait)
    wait.add_argument("--for", dest="goal", choices=("active", "ready"), default="ready")
    wait.add_argument(
        "--timeout", metavar="SECONDS", type=_timeout, default=60.0, help="how long to wait (60)"
    )

    doctor = _add(commands, "doctor", "look for trouble, say what to mend", _DOCTOR)
    _role(doctor, roles, one=False)
    add_output(doctor)


def run(words: argparse.Namespace, roles: Sequence[str]) -> int:
    """Run one of `VERBS`; the exit code."""
    from milvus_coord.cli import connection

    role: str | None = words.role
    chosen = (role,) if role else tuple(roles)
    place = connection.Place(words.config, words.endpoints, words.root_path)
    return connection.run(_verb(words, chosen), place, role=chosen[0])


def _verb(
    words: argparse.Namespace, roles: Sequence[str]
) -> Callable[[Connection], Awaitable[int]]:
    """The work of one verb, once there is an etcd."""
    output = words.output
    match words.command:
        case "status":
            from milvus_coord.cli.ha_status import status

            every, watch = words.role is None, words.watch
            return _of_readable(
                roles,
                lambda etcd, some: status(etcd, some, all_roles=every, output=output, watch=watch),
            )
        case "history":
            from milvus_coord.cli.ha_history import history

            return _of_readable(
                roles, lambda etcd, some: history(etcd, some, count=words.count, output=output)
            )
        case "pause":
            from milvus_coord.cli.ha_pause import pause

            reason, for_s = words.reason, words.for_s
            return lambda etcd: pause(etcd, roles[0], reason, for_s=for_s, output=output)
        case "resume":
            from milvus_coord.cli.ha_pause import resume

            return lambda etcd: resume(etcd, roles[0], output=output)
        case "switchover":
            from milvus_coord.cli.ha_switchover import Wish, switchover

            wish = Wish(words.to, words.former, words.reason, words.dry_run, words.timeout)
            return lambda etcd: switchover(etcd, roles[0], wish, output=output)
        case "wait":
            from milvus_coord.cli.ha_wait import wait

            goal, timeout_s = words.goal, words.timeout
            return lambda etcd: wait(etcd, roles[0], goal=goal, timeout_s=timeout_s, output=output)
        case _:
            from milvus_coord.cli.doctor import doctor

            return _of_readable(roles, lambda etcd, some: doctor(etcd, some, output=output))


def _of_readable(
    roles: Sequence[str], verb: Callable[[Connection, Sequence[str]], Awaitable[int]]
) -> Callable[[Connection], Awaitable[int]]:
    """The verb about those of the roles whose keys our user may read."""

    async def run_verb(connection: Connection) -> int:
        return await verb(connection, await connection.readable(roles))

    return run_verb


def _add(commands: Any, name: str, summary: str, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_place(parser)
    return parser


def add_place(parser: argparse.ArgumentParser) -> None:
    """Add the settings file, and what goes over all settings: see `connection.Place`."""
    parser.add_argument(
        "--config", metavar="PATH", type=Path, help="milvus.yaml or its folder, as for `run`"
    )
    parser.add_argument(
        "--endpoints",
        metavar="LIST",
        type=_filled,
        help="etcd's, host:port,... (as configured)",
    )
    parser.add_argument(
        "--root-path",
        metavar="PATH",
        type=_filled,
        help="etcd.rootPath (as configured)",
    )


def _role(parser: argparse.ArgumentParser, roles: Sequence[str], *, one: bool) -> None:
    text = ", ".join(roles)
    if one:
        parser.add_argument("role", metavar="ROLE", choices=roles, help=text)
    else:
        parser.add_argument("role", metavar="ROLE", choices=roles, nargs="?", help=f"{text} (all)")


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add `-o`."""
    parser.add_argument("-o", "--output", choices=FORMATS, default="table")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above zero")
    return int(text)


def _filled(text: str) -> str:
    if not _text(text).strip(" ,"):
        raise argparse.ArgumentTypeError("nothing is in it")
    return text


def _text(text: str) -> str:
    if len(text) > _TEXT_MAX:
        raise argparse.ArgumentTypeError(f"{len(text)} characters, {_TEXT_MAX} at most")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError(f"{text!r} is not UTF-8") from None
    return text


def _span(text: str) -> int:
    """Seconds of "90s", "10m", "2h"; a bare number is seconds."""
    found = re.fullmatch(r"([0-9]{1,6})([smh]?)", text)
    seconds = int(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]] if found else 0
    if not 0 < seconds <= _PAUSE_S_MAX:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a time such as 90s, 10m, 2h, 7 days at most"
        )
    return seconds


def _timeout(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds, 3600 at most")
    return seconds
