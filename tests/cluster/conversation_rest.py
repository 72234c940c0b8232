"""What the twins are asked about themselves, about time, ids, ticks and imports."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

from testing.cluster_peers import PROXY_ID
from testing.cluster_talk import Talk
from testing.grpc_wire import unary

STARTED, PERSISTED, FAILED = 2, 5, 1
FLUSHED: Final = 4
NODE: Final = 77


async def itself(talk: Talk) -> None:
    await talk.ask("healthy", "GetComponentStates")
    await talk.ask("name", "GetTimeTickChannel")
    await talk.ask("name", "GetStatisticsChannel")
    await talk.ask("never any", "ShowSegments", collectionID=1)
    for pattern in ("dmlchannelnum", "max", "nothing"):
        await talk.ask(pattern, "ShowConfigurations", pattern=pattern)
    await talk.ask("of the system", "GetMetrics", request='{"metric_type": "system_info"}')
    await talk.ask("garbage", "GetMetrics", request="garbage")
    await talk.ask("no type", "GetMetrics", request="{}")
    await talk.ask("unknown type", "GetMetrics", request='{"metric_type": "weather"}')
    await talk.ask("all well", "CheckHealth")
    with talk.peers.answering("proxy.Proxy/GetComponentStates", state={"state_code": 2}):
        await talk.ask("a proxy is not", "CheckHealth")
    refusal = {"status": {"error_code": 1, "reason": "not today"}}
    with talk.peers.answering("proxy.Proxy/GetComponentStates", **refusal):
        await talk.ask("a proxy refuses", "CheckHealth")


async def numbers(talk: Talk) -> None:
    for count in (1, 7, 0, 1 << 18):
        await talk.ask(f"{count}", "AllocTimestamp", count=count)
    for count in (1, 7, 0):
        await talk.ask(f"{count}", "AllocID", count=count)


async def ticks(talk: Talk) -> None:
    rpc, now = "UpdateChannelTimeTick", time.time_ns() // 1_000_000 << 18
    mine = {"msg_type": 1200, "sourceID": PROXY_ID}
    channel = "by-dev-rootcoord-dml_0"
    full = {"channelNames": [channel], "timestamps": [now], "default_timestamp": now}
    await talk.ask("of a proxy", rpc, base=mine, **full)
    await talk.ask("nothing in it", rpc, base=mine)
    await talk.ask("too short", rpc, base=mine, channelNames=[channel], default_timestamp=now)
    await talk.ask("wrong type", rpc, base={"msg_type": 100, "sourceID": PROXY_ID}, **full)
    await talk.ask("of a stranger", rpc, base={"msg_type": 1200, "sourceID": 4711}, **full)


async def cache(talk: Talk) -> None:
    rpc = "InvalidateCollectionMetaCache"
    asked = {"db_name": "default", "collection_name": "books", "collectionID": 5}
    await talk.ask("forwarded", rpc, **asked)
    refusal = {"error_code": 1, "reason": "not today"}
    with talk.peers.answering("proxy.Proxy/InvalidateCollectionMetaCache", **refusal):
        await talk.ask("a proxy refuses", rpc, **asked)


async def imports(talk: Talk) -> None:
    ask = talk.ask
    refused: dict[str, dict[str, Any]] = {
        "no files": {"collection_name": "books"},
        "two files of rows": {"collection_name": "books", "files": ["a.json", "b.json"]},
        "mixed files": {"collection_name": "books", "files": ["a.json", "b.npy"]},
        "no such partition": {
            "collection_name": "books",
            "partition_name": "none",
            "files": ["a.json"],
        },
        "partition of a key": {
            "collection_name": "keyed",
            "partition_name": "_default_0",
            "files": ["a.json"],
        },
        "backup without partition": {
            "collection_name": "books",
            "files": ["a/", "b/"],
            "options": [{"key": "backup", "value": "true"}],
        },
        "unknown collection": {"collection_name": "none", "files": ["a.json"]},
    }
    for case, wanted in refused.items():
        await ask(case, "Import", db_name="default", **wanted)
    rows = {"db_name": "default", "collection_name": "books", "files": ["a.json"]}
    with talk.peers.answering("data.DataCoord/Import", datanode_id=NODE, status={}):
        first = (await ask("one file", "Import", **rows)).tasks[0]
        columns = rows | {"files": ["a.npy", "b.npy"], "partition_name": "north"}
        second = (await ask("columns", "Import", **columns)).tasks[0]
        for task in (first, second):
            await until(talk, task, "ImportStarted")
    await ask("under way", "GetImportState", task=first)
    await ask("unknown", "GetImportState", task=42)
    await ask("unknown", "ReportImport", task_id=42, datanode_id=NODE, state=STARTED)
    here = {"task_id": first, "datanode_id": NODE}
    cost = [{"key": "progress_percent", "value": "40"}, {"key": "persist_cost", "value": "0.1"}]
    await ask("started", "ReportImport", **here, state=STARTED, segments=[7], infos=cost)
    await ask("40 percent", "GetImportState", task=first)
    await ask("more", "ReportImport", **here, state=STARTED, segments=[8], row_count=3)
    states = [{"segmentID": 7, "state": FLUSHED}, {"segmentID": 8, "state": FLUSHED}]
    with talk.peers.answering("data.DataCoord/GetSegmentStates", states=states, status={}):
        done = {"state": PERSISTED, "segments": [7, 8], "row_count": 5}
        await ask("persisted", "ReportImport", **here, **done)
        await until(talk, first, "ImportCompleted")
    await ask("complete", "GetImportState", task=first)
    why = [{"key": "failed_reason", "value": "a bad file"}]
    failed = {"task_id": second, "datanode_id": NODE, "state": FAILED, "infos": why}
    await ask("failed", "ReportImport", **failed)
    await ask("failed", "GetImportState", task=second)
    await ask("failed twice", "ReportImport", **failed)
    await import_lists(talk)


async def import_lists(talk: Talk) -> None:
    await talk.ask("all", "ListImportTasks", db_name="default")
    for name in ("books", "films", "none"):
        await talk.ask(name, "ListImportTasks", db_name="default", collection_name=name)
    await talk.ask("newest", "ListImportTasks", limit=1)


async def until(talk: Talk, task: int, state: str, within_s: float = 10.0) -> None:
    """Wait for a state of a task. Rootcoord asks datacoord every 2 s."""
    deadline = time.monotonic() + within_s
    while True:
        found = await unary(talk.address, "rootcoord.RootCoord/GetImportState", task=task)
        states = found.DESCRIPTOR.fields_by_name["state"].enum_type
        if found.state == states.values_by_name[state].number:
            return
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.05)
