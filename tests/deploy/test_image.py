"""The container image as far as it can be judged without a container engine."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction of a Dockerfile, its continuation lines joined."""

    stage: str
    word: str
    rest: str

    @property
    def flags(self) -> dict[str, str]:
        """`--name=value` at the front."""
        return dict(re.findall(r"--([\w-]+)=(\S+)", self.rest))

    @property
    def operands(self) -> list[str]:
        return [word for word in self.rest.split() if not word.startswith("--")]


def parse(text: str) -> list[Instruction]:
    """The instructions in order; a stage is called by its `AS` name or its number."""
    joined = re.sub(r"\\\n", " ", re.sub(r"(?m)^\s*#.*\n", "", text))
    stage, stages, found = "", 0, []
    for line in filter(None, map(str.strip, joined.splitlines())):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            stage = rest.split()[-1] if " AS " in rest else str(stages)
            stages += 1
        found.append(Instruction(stage, word, rest.strip()))
    return found


def ignored(path: str, patterns: list[str]) -> bool:
    """Whether a .dockerignore leaves `path` out: the last pattern that fits it decides."""
    out = False
    parts = path.split("/")
    prefixes = ["/".join(parts[: end + 1]) for end in range(len(parts))]
    for pattern in patterns:
        keep = pattern.startswith("!")
        regex = re.escape(pattern.lstrip("!")).replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*")
        if any(re.fullmatch(regex, prefix) for prefix in prefixes):
            out = not keep
    return out


@pytest.fixture(scope="module")
def dockerfile() -> list[Instruction]:
    return parse((ROOT / "Dockerfile").read_text())


@pytest.fixture(scope="module")
def ignore_patterns() -> list[str]:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def final(dockerfile: list[Instruction], word: str) -> list[Instruction]:
    """The last stage's instructions of one kind."""
    return [item for item in dockerfile if (item.stage, item.word) == (dockerfile[-1].stage, word)]


def test_parser_on_a_sample() -> None:
    sample = (
        'ARG A=1\n# no\nFROM x AS one\nRUN a \\\n  b\nFROM x\n# c\nCOPY --from=one a b\nCMD ["c"]\n'
    )
    assert [(item.stage, item.word, item.rest) for item in parse(sample)] == [
        ("", "ARG", "A=1"),
        ("one", "FROM", "x AS one"),
        ("one", "RUN", "a    b"),
        ("1", "FROM", "x"),
        ("1", "COPY", "--from=one a b"),
        ("1", "CMD", '["c"]'),
    ]
    assert parse(sample)[4].flags == {"from": "one"}
    assert parse(sample)[4].operands == ["a", "b"]


def test_ignore_matcher_on_a_sample() -> None:
    patterns = ["*", "!src", "!conf/a.yaml", "**/__pycache__"]
    kept = ["src", "src/a.py", "src/b/c.py", "conf/a.yaml"]
    left_out = ["conf", "conf/b.yaml", ".git/HEAD", "src/__pycache__/x.pyc", "src/b/__pycache__/y"]
    assert [ignored(path, patterns) for path in kept] == [False] * len(kept)
    assert [ignored(path, patterns) for path in left_out] == [True] * len(left_out)


def test_runs_as_a_numbered_user_that_is_not_root(dockerfile: list[Instruction]) -> None:
    (user,) = final(dockerfile, "USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user.rest)
    uid = user.rest.split(":")[0]
    (makes,) = [run for run in final(dockerfile, "RUN") if "useradd" in run.rest]
    assert f"--uid {uid}" in makes.rest


def test_fetches_nothing_but_hashed_packages(dockerfile: list[Instruction]) -> None:
    assert not [item for item in dockerfile if item.word == "ADD"]
    commands = " ".join(item.rest for item in dockerfile if item.word == "RUN")
    assert not re.search(r"curl|wget|git |apt|://", commands)
    installs = re.findall(r"install (?=-)(?!--directory).*?(?=&&|$)", commands)
    assert installs
    assert all("--require-hashes" in one or "--no-deps" in one for one in installs)


def test_copies_what_is_there_and_not_ignored(
    dockerfile: list[Instruction], ignore_patterns: list[str]
) -> None:
    copies = [item for item in dockerfile if item.word == "COPY" and "from" not in item.flags]
    sources = [source for item in copies for source in item.operands[:-1]]
    assert {"milvus_coord", "config/milvus.yaml", "requirements/runtime.lock"} <= set(sources)
    for source in sources:
        assert (ROOT / source).exists(), source
        assert not ignored(source, ignore_patterns), source
    kept = [pattern[1:] for pattern in ignore_patterns if pattern.startswith("!")]
    assert sorted(kept) == sorted(set(sources)), ".dockerignore lets in what nobody copies"


def test_names_its_stages_before_use(dockerfile: list[Instruction]) -> None:
    seen: set[str] = set()
    for item in dockerfile:
        if item.word == "FROM":
            seen.add(item.stage)
        elif item.word == "COPY" and (stage := item.flags.get("from")):
            assert stage in seen - {item.stage}


def test_milvus_is_on_the_path_and_finds_its_configuration(dockerfile: list[Instruction]) -> None:
    venvs = [item.operands[-1] for item in dockerfile if "-m venv" in item.rest]
    (env,) = final(dockerfile, "ENV")
    assert f"PATH={venvs[0]}/bin:$PATH" in env.rest
    assert venvs[0] in [item.operands[-1] for item in final(dockerfile, "COPY")]
    (workdir,) = final(dockerfile, "WORKDIR")
    targets = [item.operands[-1] for item in final(dockerfile, "COPY")]
    assert f"{workdir.rest}/configs/milvus.yaml" in targets
    (cmd,) = final(dockerfile, "CMD")
    assert json.loads(cmd.rest) == ["milvus", "run", "rootcoord"]
    assert not final(dockerfile, "ENTRYPOINT"), "a command of its own must run as it is"


class Health(BaseHTTPRequestHandler):
    """/healthz with the status that the test wants."""

    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/healthz" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Tests are silent."""


@pytest.fixture
def management_port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Health) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def health_check(dockerfile: list[Instruction], environ: dict[str, str]) -> int:
    """Run the image's own health check here; its exit code."""
    (instruction,) = final(dockerfile, "HEALTHCHECK")
    argv = json.loads(instruction.rest.partition("CMD")[2])
    assert argv[0] == "python"
    # What runs in the image knows nothing of a proxy, whatever this environment says.
    environ = {"http_proxy": "http://127.0.0.1:1", **environ}
    return subprocess.run(
        [sys.executable, *argv[1:]], env=environ, check=False, stderr=subprocess.DEVNULL, timeout=20
    ).returncode


@pytest.mark.parametrize(("status", "code"), [(200, 0), (500, 1), (404, 1)])
def test_health_check_asks_the_management_port(
    dockerfile: list[Instruction],
    management_port: int,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    code: int,
) -> None:
    monkeypatch.setattr(Health, "status", status)
    assert health_check(dockerfile, {"METRICS_PORT": str(management_port)}) == code


def test_health_check_fails_when_nobody_listens(
    dockerfile: list[Instruction], unused_tcp_port: int
) -> None:
    assert health_check(dockerfile, {"METRICS_PORT": str(unused_tcp_port)}) == 1
