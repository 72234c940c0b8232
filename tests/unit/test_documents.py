"""README and docs: every command is one, every link leads somewhere."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from milvus_coord.cli.main import parser
from milvus_coord.config import Settings
from milvus_coord.config.others import READERS
from milvus_coord.config.section import leaves
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
BLOCK = re.compile(r"^( *)```(\w+)?[^\n]*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
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


@pytest.mark.parametrize("path", DOCUMENTS, ids=ids)
def test_every_block_is_what_it_says(path: Path) -> None:
    """YAML and JSON are such, and what is run of ours is there."""
    for _, language, block in BLOCK.findall(path.read_text()):
        text = textwrap.dedent(block)
        if language == "yaml":
            assert list(yaml.safe_load_all(text)), text
        elif language == "json":
            json.loads(text)
        for script in re.findall(r"(?<![\w/])\.?/?(scripts/[\w-]+)", text):
            assert (ROOT / script).exists(), script
        for module in re.findall(r"python -m ((?:benchmarks|milvus_coord|testing)[\w.]*)", text):
            assert importlib.util.find_spec(module), module


@pytest.mark.parametrize("path", DOCUMENTS, ids=ids)
def test_every_setting_that_is_named_is_one(path: Path) -> None:
    known = {leaf.key for leaf in leaves(Settings)} | set(READERS)
    sections = {key.partition(".")[0] for key in known} - {"log", "minio", "proxy"}
    for name in re.findall(r"`([a-zA-Z]+(?:\.[a-zA-Z]+)+)`", path.read_text()):
        if name.partition(".")[0] in sections and not name.endswith((".py", ".prot")):
            assert any(key == name or key.startswith(f"{name}.") for key in known), name


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
