"""Draws docs/architecture.md from the code: the parts by their imports, the rooms by their folders.

scripts/draw-architecture           writes both into the page, between its markers
scripts/draw-architecture --check   exit code 1 when the page is not what the code gives
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from pathlib import Path

import milvus_coord
from tests.unit.test_directions import FOR_ALL, PACKAGE, ROWS, imports, lies_in, modules

ROOT = Path(milvus_coord.__file__).parent
PAGE = ROOT.parent / "docs" / "architecture.md"
LEFT_OUT = {"pb", "__main__", ""}

Uses = dict[str, set[str]]


def parts() -> Uses:
    """Which parts of the package each part imports; logging, which all may do, is left out."""
    found = modules(ROOT)
    known = {f"{PACKAGE}.{module.name}" for module in found}
    uses: Uses = defaultdict(set)
    for module in found:
        for target in imports(module, known):
            ours = target.ours
            if ours is None or lies_in(ours, FOR_ALL):
                continue
            uses[module.part].add(ours.partition(".")[0])
    return {part: used - LEFT_OUT - {part} for part, used in uses.items() if part not in LEFT_OUT}


def reduced(uses: Uses) -> Uses:
    """The same without each arrow that a longer way says already."""

    def below(part: str) -> set[str]:
        return uses[part].union(*(below(each) for each in uses[part])) if uses.get(part) else set()

    return {
        part: {each for each in used if not any(each in below(other) for other in used - {each})}
        for part, used in uses.items()
    }


def drawing() -> str:
    """A flow chart, its rows those that the test of directions holds."""
    arrows = reduced(parts())
    lines = ["```mermaid", "flowchart TD"]
    for row in reversed(ROWS):
        boxes = [f"{part}[{part}]" for part in row if part in arrows]
        if len(boxes) > 1:
            lines += [f"    subgraph {'_'.join(row)}[ ]", "        direction LR"]
            lines += [f"        {box}" for box in boxes]
            lines += ["    end"]
        else:
            lines += [f"    {box}" for box in boxes]
    for row in reversed(ROWS):
        for part in row:
            lines += [f"    {part} --> {used}" for used in sorted(arrows.get(part, ()))]
    return "\n".join([*lines, "```"])


def rooms() -> str:
    """A line for each folder: its name and the first line of its docstring."""
    lines = ["| room | holds |", "|---|---|"]
    for path in sorted(ROOT.rglob("__init__.py")):
        folder = path.parent.relative_to(ROOT)
        if str(folder) == "." or folder.parts[0] in LEFT_OUT:
            continue
        said = (ast.get_docstring(ast.parse(path.read_text())) or "").splitlines()
        indent = "&nbsp;" * 4 * (len(folder.parts) - 1)
        lines.append(f"| {indent}`{folder.name}/` | {said[0] if said else ''} |")
    return "\n".join(lines)


def drawn(page: str) -> str:
    """The page with both blocks made anew."""
    for name, block in (("drawing", drawing()), ("rooms", rooms())):
        begin, end = f"<!-- {name} -->\n", f"\n<!-- end of {name} -->"
        head, _, rest = page.partition(begin)
        page = head + begin + block + end + rest.partition(end)[2]
    return page


def main(args: list[str]) -> int:
    page = PAGE.read_text()
    new = drawn(page)
    if args == ["--check"]:
        if page != new:
            print("docs/architecture.md is not what the code gives: run scripts/draw-architecture")
        return int(page != new)
    PAGE.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
