"""The `milvus` command line."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from milvus_coord import __version__
from milvus_coord.cli import check_mirror, verbs
from milvus_coord.cli.parser import Parser, did_you_mean
from milvus_coord.model.roles import SECTIONS
from milvus_coord.runtime.surroundings import settle

NOBODY_READS: Final = 128 + 13
SHELLS: Final = ("bash", "zsh", "fish")
COMPLETION: Final = """\
Print a script for a shell, which asks this command at each Tab. To have it in every session:

  bash  milvus completion bash > ~/.local/share/bash-completion/completions/milvus
  zsh   milvus completion zsh > a file _milvus in a folder of $fpath
  fish  milvus completion fish > ~/.config/fish/completions/milvus.fish
"""
MISTAKE: Final = 2
"""Exit code of what a person must mend: a wrong setting, a taken port, a wrong password."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, run, and return the exit code: 0 fine, 1 failed, 2 a mistake to mend.

    141 when nobody reads any more what is printed, as a shell says it of others.
    """
    for warning in settle():
        print(f"milvus: {warning}", file=sys.stderr)
    try:
        code = _main(arguments)
    except SystemExit as end:  # of the parser, which has printed
        code = end.code if isinstance(end.code, int) else 0
    except BrokenPipeError:
        code = NOBODY_READS
    return _printed(code)


def _printed(code: int) -> int:
    """`code` once all is printed, else why not: no second error may come at the end of Python."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = NOBODY_READS
    except OSError as error:
        print(f"milvus: cannot print: {error}", file=sys.stderr)
        code = 1
    else:
        return code
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def _main(arguments: Sequence[str] | None) -> int:
    roles = tuple(SECTIONS)
    known = parser(roles)
    if "_ARGCOMPLETE" in os.environ:  # a shell asks what may come next
        import argcomplete

        argcomplete.autocomplete(known, always_complete_options="long")
    words = known.parse_args(arguments)
    if words.command is None:
        known.print_help(sys.stderr)
        return 0
    if words.command == "completion":
        from milvus_coord.cli.completion import script

        print(script(words.shell), end="")
        return 0
    if words.command == "demo":
        from milvus_coord.cli.demo import run

        return run(words.once)
    if words.command == "run":
        return _run(words)
    if words.command == "check":
        return check_mirror.run(words)
    if words.command in verbs.VERBS:
        return verbs.run(words, roles)
    if words.command == "ts":
        from milvus_coord.cli import timestamps

        print(timestamps.show(words.timestamps, words.output), end="")
        return 0
    return _config_show(words)


def parser(roles: Sequence[str]) -> argparse.ArgumentParser:
    """The command line of `milvus`."""
    made = Parser(
        prog="milvus",
        description="The coordinators of Milvus 2.2 in active-standby pairs on etcd.",
    )
    made.add_argument("--version", action="version", version=f"milvus-coord {__version__}")
    commands = made.add_subparsers(dest="command", metavar="COMMAND")

    run = commands.add_parser(
        "run",
        help="run one coordinator until it is told to stop",
        description="Run one coordinator. It serves while it is active and stands by otherwise.",
    )
    role = run.add_argument("role", metavar="ROLE", help=", ".join(roles))
    role.completer = lambda **_: roles  # type: ignore[attr-defined]  # argcomplete looks for it
    _add_config(run)
    run.add_argument(
        "--alias",
        "-alias",
        metavar="NAME",
        default="",
        help="a name for this instance in its log lines, to tell two on one machine apart",
    )
    run.add_argument(
        "--etcd-timeout",
        metavar="SECONDS",
        type=_seconds,
        help="give up when etcd does not answer at start (default: try for ever)",
    )

    config = commands.add_parser("config", help="look at the configuration")
    looks = config.add_subparsers(dest="look", metavar="COMMAND", required=True)
    show = looks.add_parser("show", help="print every effective value and where it came from")
    show.add_argument("role", metavar="ROLE", choices=roles, help=", ".join(roles))
    verbs.add_output(show)
    show.add_argument("--json", dest="output", action="store_const", const="json", help="-o json")
    verbs.add_place(show)

    verbs.add_to(commands, roles)
    check_mirror.add_to(commands, roles)

    ts = commands.add_parser("ts", help="what a hybrid timestamp of Milvus says")
    ts.add_argument("timestamps", metavar="TIMESTAMP", nargs="+", type=_timestamp)
    verbs.add_output(ts)

    completion = commands.add_parser(
        "completion",
        help="a script that completes this command line in a shell",
        description=COMPLETION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    completion.add_argument("shell", metavar="SHELL", choices=SHELLS, help=", ".join(SHELLS))

    demo = commands.add_parser("demo", help="a pair of rootcoords, a kill and a takeover")
    demo.add_argument("--once", action="store_true", help="end by itself")
    return made


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        metavar="PATH",
        type=Path,
        help="milvus.yaml or its folder (default: $MILVUSCONF, ./configs/, /milvus/configs/, "
        "./config/, else the built-in defaults)",
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return seconds


def _timestamp(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 20 and int(text) < 1 << 64):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number below 2^64")
    return int(text)


def _run(words: argparse.Namespace) -> int:
    role: str = words.role
    if role not in SECTIONS:
        known = f"choose one of {', '.join(SECTIONS)}"
        return _mistake(f"unknown role {role!r}: {known}{did_you_mean(role, SECTIONS)}")
    from milvus_coord.app.roles import ROLES
    from milvus_coord.cli.run import run

    if role not in ROLES:
        there = " and ".join(ROLES)
        return _mistake(f"{role} is not there yet, this version runs {there} only")

    return run(role, config=words.config, alias=words.alias, etcd_timeout_s=words.etcd_timeout)


def _config_show(words: argparse.Namespace) -> int:
    from milvus_coord.cli.config_show import run
    from milvus_coord.cli.connection import Place

    return run(words.role, Place(words.config, words.endpoints, words.root_path), words.output)


def _mistake(text: str) -> int:
    print(f"milvus: {text}", file=sys.stderr)
    return MISTAKE
