"""The scripts that a newcomer and continuous integration run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
LIB: Final = ROOT / "scripts" / "lib"
SHELL: Final = [
    path
    for path in sorted(
        [*(ROOT / "scripts").rglob("*"), *(ROOT / "deploy").rglob("*"), ROOT / ".ci" / "run"]
    )
    if path.suffix == ".sh" or (path.is_file() and b"env bash" in path.read_bytes()[:30])
]


def run(*argv: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv,
        env={**os.environ, **environ},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )


@pytest.mark.parametrize("script", SHELL, ids=lambda path: str(path.name))
def test_shell_script(script: Path) -> None:
    assert script.suffix == ".sh" or os.access(script, os.X_OK), "not executable"
    checker = shutil.which("shellcheck")
    if checker is None:
        pytest.skip("no shellcheck: apt-get install shellcheck")
    done = run(checker, "--external-sources", str(script))
    assert done.returncode == 0, done.stdout


def checks(code: str) -> subprocess.CompletedProcess[str]:
    """Run `code` beside the functions of scripts/lib/checks.py."""
    return run(sys.executable, "-c", f"from checks import *\n{code}", PYTHONPATH=str(LIB))


def test_a_process_left_behind_is_a_failure_and_is_ended() -> None:
    stray = "setsid sleep 3141 & disown; exit 0"
    done = checks(
        f"adopt_orphans()\nstep = run('stray', ['bash', '-c', {stray!r}])\nprint(step, children())"
    )
    assert "ok=False" in done.stdout, done
    assert "sleep 3141" in done.stdout
    assert done.stdout.rstrip().endswith(" []"), "it lives on"


def test_a_check_that_takes_too_long_is_interrupted() -> None:
    done = checks("print(run('slow', ['sleep', '3141'], 0.2))")
    assert "took longer than" in done.stdout
    assert "ok=False" in done.stdout


def test_a_failed_check_is_a_failure() -> None:
    done = checks("print(run('a', ['false']).ok, run('b', ['true']).ok)")
    assert done.stdout.rstrip().endswith("False True")


def test_counts_and_reasons_come_from_the_report(tmp_path: Path) -> None:
    sample = tmp_path / "test_sample.py"
    sample.write_text(
        "import pytest\n"
        "def test_passes(): pass\n"
        "def test_fails(): assert 0\n"
        "@pytest.fixture\ndef broken(): raise OSError\n"
        "def test_errs(broken): pass\n"
        "@pytest.fixture\ndef spoilt():\n    yield\n    raise OSError\n"
        "def test_ends_badly(spoilt): pass\n"
        "@pytest.mark.xfail\ndef test_known(): assert 0\n"
        "@pytest.mark.parametrize('n', [1, 2])\n"
        "def test_skips(n): pytest.skip('no engine: install engine')\n"
    )
    for workers in ([], ["-n2"]):
        args = ["-p", "no:cacheprovider", *workers, str(sample)]
        done = checks(
            f"step, counts = pytest_step('pytest', {args!r}, 60)\nsummarise([step], counts)\n"
        )
        assert "FAILED  pytest" in done.stdout, done
        assert "skipped   2x: no engine: install engine" in done.stdout
        assert "::test_ends_badly\n" in done.stdout
        assert done.stdout.rstrip().endswith("tests: 2 passed, 3 failed, 0 flaky, 2 skipped")


HA, UNIT = "tests/ha/test_a.py::test_a", "tests/unit/test_b.py::test_b"


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [
        pytest.param([HA], [], "ok      pytest", id="passed alone"),
        pytest.param([HA], [HA], "FAILED  pytest", id="failed again"),
        pytest.param([HA, UNIT], None, "FAILED  pytest", id="chance needs processes"),
        pytest.param(["tests/ha"], None, "FAILED  pytest", id="not collected"),
        pytest.param([f"{HA}{n}" for n in range(11)], None, "FAILED  pytest", id="too many"),
    ],
)
def test_a_failed_process_test_has_one_more_run(
    first: list[str], second: list[str] | None, verdict: str
) -> None:
    done = checks(
        f"first, second = {first!r}, {second!r}\n"
        "def pytest_step(name, args, limit_s):\n"
        "    assert second is not None and args == first, 'run again'\n"
        "    passed = {test: None for test in first if test not in second}\n"
        "    counts = Counts(passed=passed, failed=dict.fromkeys(second))\n"
        "    return Step(name, 1 if second else 0, 2.0), counts\n"
        "import checks; checks.pytest_step = pytest_step\n"
        "step, counts = retried(Step('pytest', 1, 1.0), Counts(failed=dict.fromkeys(first)))\n"
        "summarise([step], counts)\n"
    )
    assert verdict in done.stdout, done
    assert (f"FLAKY   {HA}" in done.stdout) is (second == [])
    assert ("0 failed, 1 flaky" in done.stdout) is (second == [])


@pytest.mark.parametrize("step", ["Step('pytest', 2, 1.0)", "Step('pytest', 1, 1.0, ['pid 7'])"])
def test_what_no_test_explains_has_no_second_run(step: str) -> None:
    done = checks(f"print(retried({step}, Counts(failed={{{HA!r}: None}}))[0].ok)")
    assert done.stdout.rstrip().endswith("False")
    assert "again" not in done.stdout


def test_locks_fit_the_project() -> None:
    done = run(sys.executable, str(LIB / "check_locks.py"))
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        (
            "pyproject.toml",
            '"grpclib==0.4.9"',
            '"grpclib==0.4.8"',
            "grpclib==0.4.8 is pin",
        ),
        ("pyproject.toml", "dependencies = [", 'dependencies = ["trio",', "trio is not pinned"),
        ("requirements/runtime.lock", "loguru==", "loguru-x==", "runtime.lock: loguru"),
        ("requirements/runtime.lock", "h11==", "h11==1", "runtime.lock: h11==1"),
        ("requirements/dev.lock", "aetcd==1.0.0", "aetcd==1.0.0\nsix==1.0", "no hash in 'aetcd"),
        ("requirements/dev.lock", "aetcd==", "--index-url https://x\naetcd==", "an address"),
    ],
)
def test_a_misfit_of_a_lock_is_named(
    tmp_path: Path, file: str, old: str, new: str, said: str
) -> None:
    locks = sorted(path.relative_to(ROOT) for path in (ROOT / "requirements").glob("*.lock"))
    for name in ("pyproject.toml", *map(str, locks)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        text = (ROOT / name).read_text()
        if name == file:
            assert old in text
            text = text.replace(old, new, 1)
        (tmp_path / name).write_text(text)
    done = run(sys.executable, str(LIB / "check_locks.py"), str(tmp_path))
    assert done.returncode == 1
    assert said in done.stdout
