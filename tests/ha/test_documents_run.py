"""The commands of the documents for operators, in their order, as they stand, beside a pair."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from testing.cli import milvus
from testing.etcd import EtcdMember
from tests.ha.conftest import StartRole, started_pair

pytestmark = pytest.mark.etcd

DOCS = Path(__file__).parents[2] / "docs"


def commands(document: str) -> list[list[str]]:
    """The words behind `milvus` of each line in a block of shell."""
    text = (DOCS / document).read_text()
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("milvus ")]


@pytest.mark.parametrize("document", ["operate.md", "upgrade.md", "troubleshooting.md"])
async def test_every_command_does_what_it_says(
    etcd: EtcdMember, rootcoord: StartRole, document: str
) -> None:
    pair = await started_pair(rootcoord, etcd.endpoints, session_ttl_s=60)
    found = commands(document)
    assert len(found) >= 3
    for words in found:
        done = await milvus(*words, etcd=etcd.endpoints)
        if words[0] == "doctor":  # the etcd of the tests is an old one, alone
            bad = [line for line in done.out.splitlines() if line.startswith("bad")]
            assert all("can corrupt data" in line for line in bad), bad
        else:
            assert done.code == 0, (words, done)
        assert "Traceback" not in done.err
    assert [await one.standing() for one in pair].count(200) == 1
