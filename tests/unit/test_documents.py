"""README and docs: every command is one, every link leads somewhere."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from milvus_coord.cli.main import parser
from milvus_coord.model.roles import SECTIONS

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("docs/decisions/*.md"),
        *ROOT.glob("deploy/*/README.md"),
    ]
)
FENCED = re.compile(r"^ *```[^\n]*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(milvus [a-z][^`\n]*)`")
COMMAND = re.compile(r"^(?:\$ |[A-Z_]+=\S+ )*(milvus [a-z].*)$")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#([^)\s]+))?\)")


def commands(text: str) -> Iterator[str]:
    """What stands in blocks behind a prompt or alone, and whole commands in a sentence."""
    for block in FENCED.findall(text):
        for line in block.splitlines():
            if found := COMMAND.match(line.strip()):
                yield found[1]
    for command in INLINE.findall(FENCED.sub("", text)):
        if not re.search(r"[<|]|\.\.\.|milvus stop", command):
            yield command


def ids(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", DOCUMENTS, ids=ids)
def test_every_command_can_be_typed(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known = parser(tuple(SECTIONS))
    for command in commands(path.read_text()):
        words = shlex.split(command, comments=True)[1:]
        words += NEEDS.get(" ".join(words), [])  # a verb that is named in a sentence
        try:
            known.parse_args(words)
        except SystemExit:
            pytest.fail(f"{command}: {capsys.readouterr().err}")


ROLE = ["rootcoord"]
NEEDS = {
    **dict.fromkeys(("switchover", "pause", "resume", "wait", "run", "config show"), ROLE),
    "ts": ["1"],
}


def anchors(path: Path) -> set[str]:
    heads = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("path", DOCUMENTS, ids=ids)
def test_every_link_leads_somewhere(path: Path) -> None:
    for target, anchor in LINK.findall(path.read_text()):
        if "://" in target:
            continue
        file = path.parent / target
        assert file.exists(), target
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file), (target, anchor)
