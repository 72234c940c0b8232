"""Two fresh clusters that hear the same, led by Go Milvus 2.2.16 and by what is under test."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from testing import cluster_store
from testing.cluster import Cluster, Kind, cluster
from testing.cluster_peers import Peers
from testing.cluster_talk import Exchange, Talk, rpcs
from testing.go_milvus import GoMilvus
from tests.cluster import conversation_access as access
from tests.cluster import conversation_names as names
from tests.cluster import conversation_rest as rest

LATER: Final = (
    *("query.QueryCoord/ReleaseCollection", "index.IndexCoord/DropIndex"),
    *("proxy.Proxy/RefreshPolicyInfoCache", "proxy.Proxy/UpdateCredentialCache"),
    *("proxy.Proxy/InvalidateCredentialCache", "data.DataCoord/Import", "data.DataCoord/Flush"),
    "data.DataCoord/UnsetIsImportingState",
)
SETTLED_WITHIN_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Transcript:
    """All that one rootcoord said, to whom it talked afterwards, and what it left in etcd."""

    exchanges: Sequence[Exchange]
    later: dict[str, list[Any]]
    standby: Sequence[Exchange]
    store: dict[str, list[Any]]

    def of(self, rpc: str) -> dict[str, Exchange]:
        """By case, in the order of asking; one asked again has a `'` more."""
        found: dict[str, Exchange] = {}
        for one in self.exchanges:
            case = one.case
            while one.rpc == rpc and case in found:
                case += "'"
            if one.rpc == rpc:
                found[case] = one
        return found


@dataclass(frozen=True, slots=True)
class Both:
    """Transcripts on fresh stores, and answers before and after a change on one store."""

    go: Transcript
    other: Transcript
    before: dict[tuple[str, str], Any]
    after: dict[tuple[str, str], Any]


async def compare(milvus: GoMilvus, folder: Path, kind: Kind) -> Both:
    """Let both have the conversation, then let `kind` take over the store of Go."""
    async with twin(milvus, folder / "other", (kind, kind)) as (made, peers):
        other = await converse(made, peers)
    async with twin(milvus, folder / "go", ("go", kind)) as (made, peers):
        go = await converse(made, peers, standby=False)
        before = await ask_steady(made, peers)
        await made.end_active("SIGTERM")
        after = await ask_steady(made, peers)
    return Both(go, other, before, after)


@asynccontextmanager
async def twin(
    milvus: GoMilvus, folder: Path, pair: tuple[Kind, Kind]
) -> AsyncIterator[tuple[Cluster, Peers]]:
    """A rootcoord pair among stand-ins."""
    peers = Peers()
    peers.start()
    try:
        async with cluster(milvus, folder, pair=pair, roles=(), prepare=peers.register) as made:
            yield made, peers
    finally:
        peers.stop()


async def converse(made: Cluster, peers: Peers, *, standby: bool = True) -> Transcript:
    """Ask everything; return when others were told what they are told afterwards."""
    waiting = Talk(made.standby.address, peers)
    for rpc in rpcs() if standby else ():
        await waiting.ask("standing by", rpc)
    talk = Talk(made.active.address, peers)
    for part in (
        *(rest.itself, rest.numbers, rest.ticks, rest.cache),
        *(names.databases, names.collections, names.partitions, names.aliases, names.questions),
        *(access.users, access.roles, access.privileges, access.questions, access.role_drops),
        *(rest.imports, names.changes, names.drops),
    ):
        await part(talk)
    later = await told_later(talk)
    store = cluster_store.Store(await cluster_store.read(made.etcd)).comparable()
    return Transcript(talk.exchanges, later, waiting.exchanges, store)


async def told_later(talk: Talk) -> dict[str, list[Any]]:
    """What comes after the answers, sorted; waits for one of each, and that nothing follows."""
    deadline = time.monotonic() + SETTLED_WITHIN_S
    count = -1
    while True:
        found = {
            method: [one for one in talk.peers.heard() if one.method == method] for method in LATER
        }
        if all(found.values()) and count == (count := sum(map(len, found.values()))):
            break
        if time.monotonic() > deadline:
            break
        await asyncio.sleep(1.0)  # longer than background work rests
    return {
        method: sorted((talk.told(one) for one in calls), key=str)
        for method, calls in found.items()
    }


async def ask_steady(made: Cluster, peers: Peers) -> dict[tuple[str, str], Any]:
    """Answers by RPC and case, with their ids and times as they are."""
    talk = Talk(made.active.address, peers, exact=True)
    await names.questions(talk)
    await access.questions(talk)
    await rest.import_lists(talk)
    for rpc in ("GetTimeTickChannel", "GetStatisticsChannel", "ShowSegments"):
        await talk.ask("name", rpc)
    listed = await talk.ask("tasks", "ListImportTasks")
    for number, task in enumerate(listed.tasks, 1):
        await talk.ask(f"task {number}", "GetImportState", task=task.id)
    return {(one.rpc, one.case): one.reply for one in talk.exchanges}
