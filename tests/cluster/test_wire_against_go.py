"""Each RPC of rootcoord is answered as by Go Milvus 2.2.16, word for word, live.

Ids and times are named after where they appeared first, so they may differ but not be mixed up.
What the successor of Go answers on Go's store is the same to the last digit.
"""

from __future__ import annotations

from typing import Any, Final

import pytest

from testing.cluster import pair_under_test
from testing.cluster_talk import REFUSED, rpcs
from tests.cluster.twins import LATER, Both

pytestmark = [pytest.mark.etcd, pytest.mark.go]

RPCS: Final = rpcs()
# Asked again of the successor; the others change something or tell of the process itself.
STEADY: Final = (
    *("DescribeCollection", "DescribeCollectionInternal", "HasCollection", "ShowCollections"),
    *("ShowPartitions", "ShowPartitionsInternal", "HasPartition", "ListDatabases", "ShowSegments"),
    *("ListCredUsers", "GetCredential", "SelectRole", "SelectUser", "SelectGrant", "ListPolicy"),
    *("GetTimeTickChannel", "GetStatisticsChannel", "GetImportState", "ListImportTasks"),
)
ANSWERED_BY_STANDBYS: Final = {
    "GetComponentStates",
    "GetTimeTickChannel",
    "GetStatisticsChannel",
    "ShowSegments",
}
# What changes in Go when it reads its store anew, by RPC and cases: dropped partitions of a renamed
# collection come back, the name of a dropped collection is gone.
QUIRKS: Final = {
    "ShowPartitionsInternal": ["books by id"],
    "DescribeCollectionInternal": ["books by id"],
    "DescribeCollection": ["plays", "plays then", "plays too early"],
    "ShowPartitions": ["plays"],
}
# Differences on purpose between Go's answers and ours, by RPC and case, and why.
KNOWN: Final = {
    ("Import", "unknown collection"): "Go's clients repeat a gRPC error for 25 s; ours is a status",
    ("CreateAlias", "like one dropped"): "Go keeps names of dropped collections until it restarts",
    **{
        (
            "DescribeCollection",
            f"{name} too early",
        ): "Go tells of the key that it looked for; ours of the collection"
        for name in ("books", "films", "plays", "open", "keyed")
    },
}
KNOWN_TOLD: Final = {
    ("CreateCollection", "db empty"): "the name of the database is filled in, as proxies know it",
    (
        "AlterCollection",
        "one more",
    ): "Go tells only what was asked for, and datacoord forgets the rest",
    ("AlterCollection", "by alias"): "the same",
}
KNOWN_SUCCESSOR: Final = {
    (rpc, case): "ours cleans up after failed imports when it begins, Go 5 min later"
    for rpc, cases in {
        "ListImportTasks": ("all", "books", "newest", "tasks"),
        "GetImportState": ("task 2",),
    }.items()
    for case in cases
}
KNOWN_LATER: Final = {
    "proxy.Proxy/InvalidateCredentialCache": "ours also where a proxy refused the new password",
}


@pytest.mark.parametrize("rpc", RPCS)
def test_answers_are_those_of_go(both: Both, rpc: str) -> None:
    go = {case: one.reply for case, one in both.go.of(rpc).items()}
    other = {case: one.reply for case, one in both.other.of(rpc).items()}
    assert go, "not asked"
    leave_out(KNOWN, rpc, go, other)
    assert other == go


@pytest.mark.parametrize("rpc", RPCS)
def test_others_are_told_at_once_what_go_tells_them(both: Both, rpc: str) -> None:
    go = {case: one.told for case, one in both.go.of(rpc).items()}
    other = {case: one.told for case, one in both.other.of(rpc).items()}
    leave_out(KNOWN_TOLD, rpc, go, other)
    assert other == go


@pytest.mark.parametrize("method", LATER)
def test_others_are_told_in_the_end_what_go_tells_them(both: Both, method: str) -> None:
    assert both.go.later[method], "nobody was told"
    if pair_under_test()[1] == "ours" and method in KNOWN_LATER:
        assert both.other.later[method] != both.go.later[method], "no longer different"
    else:
        assert both.other.later[method] == both.go.later[method]


@pytest.mark.parametrize("rpc", STEADY)
def test_the_successor_of_go_on_its_store_answers_the_same(both: Both, rpc: str) -> None:
    before = {case: reply for (asked, case), reply in both.before.items() if asked == rpc}
    assert before, "not asked"
    after = {case: reply for (asked, case), reply in both.after.items() if asked == rpc}
    for case in QUIRKS.get(rpc, ()):
        del before[case], after[case]
    for asked, case in KNOWN if pair_under_test()[1] == "ours" else ():
        if asked == rpc:
            for answers in (before, after):
                answers.pop(case, None)
    leave_out(KNOWN_SUCCESSOR, rpc, before, after)
    assert after == before


def test_a_standby_serves_nothing(both: Both) -> None:
    """Ours does not even listen (docs/differences.md); Go says what it is."""
    answers = {one.rpc: one.reply for one in both.other.standby}
    assert sorted(answers) == RPCS
    if pair_under_test()[1] == "ours":
        assert set(answers.values()) == {REFUSED}
        return
    for rpc, answer in answers.items():
        status = answer.get("status", answer)
        if rpc in ANSWERED_BY_STANDBYS:
            assert status.get("error_code", "Success") == "Success"
        elif rpc == "CheckHealth":
            assert not answer.get("isHealthy", False)
        else:
            assert status["error_code"] == "NotReadyServe"
            assert status["reason"].endswith("is not serving, reason: sate code: StandBy")


def leave_out(
    known: dict[tuple[str, str], str], rpc: str, go: dict[str, Any], ours: dict[str, Any]
) -> None:
    """Take known differences out of both; each has to be one."""
    if pair_under_test()[1] != "ours":
        return
    for asked, case in known:
        if asked == rpc and case in go:
            assert go.pop(case) != ours.pop(case), f"{rpc} {case} is no longer different"
