"""Counts the house: lines and files of each room, hand-written loops, old names, unused code.

    scripts/counts                     prints the counts
    scripts/counts --against 1a8704d   beside those of another commit
    scripts/counts --check             prints what must not be there; exit code 1 when something is

Code is unused when nothing of `milvus_coord` names it; what only tests use is unused. Of what the
other roles will be made of, `role` and `clients`, tests are the first users.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import subprocess
import sys
import tarfile
import tempfile
import tokenize
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

PRODUCT = "milvus_coord"
GENERATED = "milvus_coord/pb/"
BESIDE = ("testing", "tests", "benchmarks", "scripts")

OLD_NAMES = Path(__file__).with_name("old-names.txt")
LETTERS = re.compile(r"\bD[2-6]\b|\bForm B\b|(?<![\w`*])K(?![\w`=*.:\"])")

# Names that something else than our code asks for.
CALLED_BY_LIBRARIES = re.compile(
    r"__\w+__|connection_(made|lost)|data_received|eof_received|(pause|resume)_writing|model_config"
    r"|settings_customise_sources|create_stream|describe|emit|get_field_value"
)
WAITING = ("clients/", "role/")
# What stands in for the real thing.
STAND_INS = ("etcd/memory/", "runtime/clock.py")
ANSWERS = re.compile(r"(role|coordinators/\w+)/(\w+/)?rpcs(_\w+)?(/\w+)?\.py")


@dataclass
class House:
    """What was counted below one folder."""

    rooms: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    loops: list[str] = field(default_factory=list)
    old_names: list[str] = field(default_factory=list)
    letters: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)

    @property
    def lines(self) -> int:
        return sum(map(sum, self.rooms.values()))

    @property
    def product_lines(self) -> int:
        return sum(sum(sizes) for room, sizes in self.rooms.items() if room.startswith(PRODUCT))


def room_of(path: Path) -> str:
    """`milvus_coord/ha/election` or `tests/unit`: at most three folders deep."""
    return "/".join(path.parent.parts[:3])


def count(root: Path) -> House:
    house, old = House(), given_up()
    trees: dict[Path, ast.Module] = {}
    tests: list[ast.Module] = []
    for top in (PRODUCT, *BESIDE):
        for path in sorted((root / top).rglob("*")):
            here = path.relative_to(root)
            if str(here).startswith(GENERATED) or not is_code(path):
                continue
            text = path.read_text()
            house.rooms[room_of(here)].append(text.count("\n"))
            if top == PRODUCT:
                trees[here] = ast.parse(text)
                house.letters += letters(here, text)
            elif path.suffix == ".py":
                tests.append(ast.parse(text))
    for path, tree in trees.items():
        house.loops += [
            f"{path}:{node.lineno}"
            for node in ast.walk(tree)
            if isinstance(node, ast.While)
            and isinstance(node.test, ast.Constant)
            and node.test.value is True
        ]
        house.old_names += old_names(path, tree, old)
    house.unused = unused(trees, names_in(tests))
    return house


def is_code(path: Path) -> bool:
    if not path.is_file() or "__pycache__" in path.parts:
        return False
    return path.suffix in (".py", ".sh") or (path.suffix == "" and path.read_bytes()[:2] == b"#!")


def given_up() -> dict[str, re.Pattern[str]]:
    """What no file, class, function or event may be called any more."""
    words: dict[str, list[str]] = defaultdict(list)
    for line in OLD_NAMES.read_text().splitlines():
        kind, *names = line.split()
        words[kind] += names
    return {kind: re.compile("|".join(names)) for kind, names in words.items()}


def old_names(path: Path, tree: ast.Module, old: dict[str, re.Pattern[str]]) -> Iterator[str]:
    """Files and definitions that the table of renames has done away with."""
    if old["file"].fullmatch(path.stem):
        yield f"{path}: the file's name"
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=name):
                found = old["class"].fullmatch(name) or (
                    path.stem == "events" and old["event"].fullmatch(name)
                )
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                found = old["function"].fullmatch(name)
            case _:
                continue
        if found:
            yield f"{path}:{node.lineno}: {name}"


def letters(path: Path, text: str) -> Iterator[str]:
    """Letter codes of the protocol document in comments and strings."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.COMMENT, tokenize.STRING) and (
            found := LETTERS.search(token.string)
        ):
            line = token.start[0] + token.string[: found.start()].count("\n")
            yield f"{path}:{line}: {found[0]}"


def names_in(trees: Iterable[ast.Module]) -> set[str]:
    """All that is read, imported, given by keyword or written as a string that could be a name."""
    found: set[str] = set()
    for node in (node for tree in trees for node in ast.walk(tree)):
        match node:
            case ast.Name(id=name, ctx=ast.Load()) | ast.Attribute(attr=name):
                found.add(name)
            case ast.alias(name=name):
                found.add(name.rpartition(".")[2])
            case ast.keyword(arg=str(name)):
                found.add(name)
            case ast.Constant(value=str(text)) if text.isidentifier():
                found.add(text)
    return found


def unused(trees: dict[Path, ast.Module], in_tests: set[str]) -> list[str]:
    """Functions, classes and constants that no other place of the product names."""
    used, found = names_in(trees.values()), []
    for path, tree in trees.items():
        here = str(path.relative_to(PRODUCT))
        if here.startswith(STAND_INS) or ANSWERS.fullmatch(here):
            continue
        for name, line in definitions(tree):
            known = name in used or (here.startswith(WAITING) and name in in_tests)
            if not known and not CALLED_BY_LIBRARIES.fullmatch(name):
                found.append(f"{path}:{line}: {name}")
    return found


def definitions(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """What may be unused: not what a decorator registers, nor one number of a list of numbers."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                if not any(map(registers, node.decorator_list)):
                    yield node.name, node.lineno
    for node in tree.body:
        match node:
            case ast.AnnAssign(value=ast.Constant(value=int())):
                pass
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                yield name, node.lineno


def registers(decorator: ast.expr) -> bool:
    """Whether a decorator keeps what it decorates: a validator of settings, for one."""
    if isinstance(decorator, ast.Call):
        decorator = decorator.func
    name = decorator.attr if isinstance(decorator, ast.Attribute) else getattr(decorator, "id", "")
    return name in {"field_validator", "model_validator", "field_serializer", "overload", "on"}


def at(commit: str) -> House:
    """The house as it was at a commit."""
    packed = subprocess.run(
        ["git", "archive", commit, PRODUCT, "tests", "benchmarks", "scripts"],
        check=True,
        capture_output=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as tar:
            tar.extractall(folder, filter="data")
        return count(Path(folder))


def table(now: House, then: House | None) -> Iterator[str]:
    """Lines to print; with another house its counts stand first."""

    def row(what: str, here: object, there: object) -> str:
        return f"{what:<44} {there if then else '':>12} {here:>12}"

    then_or_none = then or House()
    yield row("", "now", "then")
    for room in sorted({*now.rooms, *then_or_none.rooms}):
        here, there = now.rooms.get(room, []), then_or_none.rooms.get(room, [])
        yield row(room, f"{sum(here)}/{len(here)}", f"{sum(there)}/{len(there)}")
    for what, name in (
        ("hand-written lines", "lines"),
        (f"of them in {PRODUCT}", "product_lines"),
    ):
        yield row(what, getattr(now, name), getattr(then_or_none, name))
    for what, name in (
        ("`while True`", "loops"),
        ("old names", "old_names"),
        ("letter codes", "letters"),
        ("unused functions, classes, constants", "unused"),
    ):
        yield row(what, len(getattr(now, name)), len(getattr(then_or_none, name)))


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/counts", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--against", metavar="COMMIT")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--where", action="store_true", help="print each place that is counted")
    options = parser.parse_args(argv)
    now = count(Path("."))
    wrong = [*now.old_names, *now.letters, *now.unused]
    if options.check:
        print("\n".join(wrong))
        return 1 if wrong else 0
    print("lines/files of each room")
    print("\n".join(table(now, at(options.against) if options.against else None)))
    if options.where:
        print("\n".join(["", *now.loops, *wrong]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
