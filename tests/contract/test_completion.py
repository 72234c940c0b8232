"""Shell completion, asked by the real shells."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BASH = """
source <(milvus completion bash)
COMP_LINE=$1 COMP_POINT=${#1} COMP_TYPE=9 COMP_KEY=9
read -ra COMP_WORDS <<<"$1"
[[ $1 == *" " ]] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_python_argcomplete milvus "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""
FISH = "milvus completion fish | source; complete -C $argv[1]"
ZSH = """
compdef() { :; }
compadd() { :; }
_describe() { printf '%s\\n' "${(@P)2}"; }
source <(milvus completion zsh)
words=(${=1}); [[ $1 == *" " ]] && words+=("")
CURRENT=${#words} BUFFER=$1 CURSOR=${#1}
service=milvus
_python_argcomplete milvus
"""
SHELLS = {"bash": BASH, "fish": FISH, "zsh": ZSH}


def completed(shell: str, line: str) -> set[str]:
    """What a shell offers at the end of `line`, without its descriptions."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    begun = {"bash": ["bash", "-c", BASH, "x"], "fish": ["fish", "-c", FISH]}
    command = begun.get(shell, [shell, "-c", SHELLS[shell], "x"])
    run = subprocess.run(
        [*command, line],
        env={"PATH": path, "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    offered = {text.split("\t")[0].split(":")[0].strip() for text in run.stdout.splitlines()}
    assert offered - {""}, run.stderr
    return offered - {""}


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    return name


def test_verbs_roles_and_options_are_offered(shell: str) -> None:
    assert {"status", "switchover", "doctor", "completion"} <= completed(shell, "milvus ")
    assert completed(shell, "milvus sw") == {"switchover"}
    assert completed(shell, "milvus run r") == {"rootcoord"}
    assert completed(shell, "milvus status --end") == {"--endpoints"}
    assert completed(shell, "milvus wait rootcoord --for ") >= {"active", "ready"}
