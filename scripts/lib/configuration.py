"""Writes the tables of docs/configuration.md: every key of ours, and those that others read.

scripts/draw-configuration           writes them into the page, between its markers
scripts/draw-configuration --check   exit code 1 when the page is not what the code gives
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Final

from milvus_coord.config.others import NOBODY, READERS
from milvus_coord.config.section import Leaf, leaves, open_sections
from milvus_coord.config.settings import METRICS_PORT, Settings
from milvus_coord.model.roles import SECTIONS

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = ROOT / "docs" / "configuration.md"
FILE: Final = ROOT / "config" / "milvus.yaml"

OF_ROOTCOORD: Final = ("rootCoord", "proxy", "autoIndex", "quotaAndLimits", "mq", "pulsar", "kafka")
NOT_IN_GO: Final = ("ha.", "etcd.auth.", "mq.type")
GO: Final = {
    "rootCoord.port": "19530 where it is absent",
    "dataCoord.port": "19530 where it is absent",
    "queryCoord.port": "19530 where it is absent",
    "indexCoord.port": "19530 where it is absent",
    "rootCoord.dmlChannelNum": "256 where it is absent",
    "proxy.maxShardNum": "64 where it is absent",
    "proxy.timeTickInterval": "has no bounds",
    "quotaAndLimits.enabled": "false where it is absent",
    "quotaAndLimits.limitWriting.ttProtection.enabled": "true where it is absent",
    "quotaAndLimits.dml.insertRate.collection.min": "reads it and does nothing with it",
    "quotaAndLimits.dml.deleteRate.collection.min": "reads it and does nothing with it",
    "quotaAndLimits.dml.bulkLoadRate.collection.min": "reads it and does nothing with it",
    "quotaAndLimits.limitReading.queueProtection.queueLatencyThreshold": "takes it for nanoseconds",
    "pulsar.port": "goes without Pulsar where it is absent",
    "pulsar.authParams": "loses what follows a second colon",
}
RATES: Final = {
    "max": "of all collections together; negative: no limit",
    "collection.max": "of one collection; negative: as for all",
    "collection.min": "of one collection, however much is slowed down",
}
INSTEAD: Final = {
    "grpc.clientMax": "not bounded",
    "grpc.client": "calls have a deadline each, and are tried again until then",
    "grpc.log.level": "`log.level` holds for all",
    "common.cluster.name": "of a metadata store that 2.2.16 no longer has",
    "common.security.tlsMode": "`ha.tls.*` is ours",
    "tls.": "`ha.tls.*` is ours",
}


def descriptions() -> dict[str, str]:
    """What config/milvus.yaml says behind each key."""
    found: dict[str, str] = {}
    stack: list[tuple[int, str]] = []
    for line in FILE.read_text().splitlines():
        bare, _, comment = line.partition("#")
        name = bare.strip().partition(":")[0]
        if not name or name.startswith("-"):
            continue
        indent = len(bare) - len(bare.lstrip())
        while stack and stack[-1][0] >= indent:
            stack.pop()
        stack.append((indent, name))
        found[".".join(part for _, part in stack)] = comment.strip()
    return found


def described(leaf: Leaf, texts: dict[str, str]) -> str:
    """What a key is: of its own comment, of RootCoord's twin, else of the section around it."""
    section, _, rest = leaf.key.partition(".")
    own = texts.get(leaf.key) or ""
    if section == "msgChannel":
        own = f"before `common.{rest}`, where it is set"
    if leaf.key == METRICS_PORT:
        own = "the management port; 0: any free one"
    parent = leaf.key
    while not own and parent.count(".") > 1:
        parent = parent.rpartition(".")[0]
        own = texts.get(parent) or ""
    _, rate, bound = leaf.key.partition("Rate.")
    if rate:
        own = RATES[bound]
    if not own and section in SECTIONS.values():
        own = texts.get(f"rootCoord.{rest}") or ""
    if rest == "address" and section in SECTIONS.values():
        own = "host or host:port that others connect to; this host's first address when not set"
    return own


def variable(key: str) -> str:
    """The usual name in the environment: `etcd.ssl.tlsCert` is `ETCD_SSL_TLS_CERT`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|\.", "_", key).upper()


def in_go(leaf: Leaf) -> Iterator[str]:
    if leaf.key.startswith(NOT_IN_GO) or leaf.key in NOT_IN_GO:
        yield "not known"
    elif leaf.key.endswith(".address") and leaf.only:
        yield "ignored"
    elif leaf.key in GO:
        yield GO[leaf.key]


def keys() -> str:
    """One table a section."""
    texts = descriptions()
    parts: list[str] = []
    columns = "| key | variable | default | must be | what it is | Go 2.2.16 |"
    for section, group in groupby(leaves(Settings), key=lambda leaf: leaf.aliases[0]):
        readers = section if section in SECTIONS.values() else "every role"
        readers = "rootcoord" if section in OF_ROOTCOORD else readers.lower()
        parts += [f"### {section}", "", f"Read by {readers}.", ""]
        parts += [columns, "|---|---|---|---|---|---|"]
        for leaf in group:
            shown = "" if leaf.default is None else leaf.kind.show(leaf.default)
            cells = [
                f"`{leaf.key}`",
                f"`{variable(leaf.key)}`",
                "" if shown == '""' else shown.replace("|", "\\|"),
                leaf.kind.allowed.partition(" (also")[0],
                described(leaf, texts),
                "".join(in_go(leaf)) or "the same",
            ]
            parts.append("| " + " | ".join(cells) + " |")
        for table in open_sections(Settings):
            if table.aliases[0] == section:
                parts.append(
                    f"| `{table.key}.*` | `{variable(table.key)}_...` | | | "
                    f"{texts.get(table.key, '')} | the same |"
                )
        parts.append("")
    return "\n".join(parts).rstrip()


def others() -> str:
    """Who reads what is not read here, and what holds instead."""
    lines = ["| key | read in Go by | here |", "|---|---|---|"]
    for key, reader in READERS.items():
        instead = next((said for begin, said in INSTEAD.items() if key.startswith(begin)), "")
        if not instead and reader != NOBODY and set(reader.split(", ")) & set(SECTIONS):
            instead = "with that role"
        lines.append(f"| `{key}` | {reader} | {instead} |")
    return "\n".join(lines)


def written(page: str) -> str:
    """The page with both tables made anew."""
    for name, block in (("keys", keys()), ("others", others())):
        begin, end = f"<!-- {name} -->\n", f"\n<!-- end of {name} -->"
        head, _, rest = page.partition(begin)
        page = head + begin + block + end + rest.partition(end)[2]
    return page


def main(args: list[str]) -> int:
    page = PAGE.read_text()
    new = written(page)
    if args == ["--check"]:
        if page != new:
            print(f"docs/{PAGE.name} is not what the code gives: run scripts/draw-configuration")
        return int(page != new)
    PAGE.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
