"""Import tasks as values: legal moves, requests, reports; and their bytes in etcd."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from milvus_coord.coordinators.rootcoord.imports import rules
from milvus_coord.coordinators.rootcoord.imports.catalog import ImportCatalog, encode
from milvus_coord.coordinators.rootcoord.imports.rules import (
    MOVES,
    ImportReport,
    ImportState,
    ImportTask,
)
from milvus_coord.model.errors import BadValue, IllegalMove, Refused
from milvus_coord.model.schema import Field
from milvus_coord.wire.descriptors import message_class
from testing.ddl_rpcs import FIELDS, collection

CATALOG = ImportCatalog("by-dev/kv")
TASK = ImportTask(7, 10, 100, ("v0",), ("a.json",), created_s=1000)
STARTED = rules.started(TASK, 3, 2000)


@pytest.mark.parametrize("files", [("a.json",), ("a.npy", "b.npy"), ("a",), ("x/y.JSON", "b")])
def test_files_of_one_kind_are_fine(files: tuple[str, ...]) -> None:
    rules.check_files(files)


@pytest.mark.parametrize(
    ("files", "text"),
    [
        ((), "import request is empty"),
        (("a.json", "b.json"), "row-based import, only allow one JSON file each time"),
        (("a.npy", "b.json"), "row-based import, only allow one JSON file each time"),
        (
            ("a.json", "b.npy"),
            "row-based data file type must be JSON, file type '.npy' is not allowed",
        ),
        (("a.json", "x.y/b"), "row-based data file type must be JSON, file type '' is not allowed"),
    ],
)
def test_other_files_are_refused(files: tuple[str, ...], text: str) -> None:
    with pytest.raises(Refused) as refused:
        rules.check_files(files)
    assert str(refused.value) == text


def test_the_queue_has_an_end() -> None:
    rules.check_room(1, 2)
    with pytest.raises(Refused) as refused:
        rules.check_room(2, 2)
    assert str(refused.value) == (
        "import task queue max size is 2, currently there are 2 tasks is pending. "
        "Not able to execute this request with 1 tasks"
    )


def test_the_partition_of_a_request() -> None:
    plain = collection(10, "books", fields=FIELDS)
    keyed = replace(plain, fields=(*FIELDS, Field(102, "k", 5, is_partition_key=True)))
    backup = (("backup", "True"),)
    assert rules.partition_wanted(plain, "", (), "_default") == "_default"
    assert rules.partition_wanted(plain, "p", (("backup", "no"),), "_default") == "p"
    assert rules.partition_wanted(keyed, "", (), "_default") is None
    assert rules.partition_wanted(keyed, "p", backup, "_default") == "p"
    with pytest.raises(Refused, match=r"^partition name not specified when backup$"):
        rules.partition_wanted(plain, "", backup, "_default")
    with pytest.raises(Refused, match=r"^not allow to set partition name for collection with"):
        rules.partition_wanted(keyed, "p", (), "_default")


def test_a_report_of_start_adds_segments_and_others_replace_them() -> None:
    first = rules.reported(STARTED, ImportReport(7, 3, 2, segments=(1,), row_count=5))
    again = rules.reported(first, ImportReport(7, 3, 2, segments=(1, 2)))
    assert (again.segments, again.row_count, again.state) == ((1, 2), 0, ImportState.STARTED)
    full = rules.reported(again, ImportReport(7, 3, 5, segments=(2,), row_ids=(1, 9), row_count=8))
    assert (full.segments, full.row_ids, full.row_count) == ((2,), (1, 9), 8)
    assert full.state is ImportState.PERSISTED


def test_infos_of_a_report_are_merged_up_to_the_reason_of_failure() -> None:
    task = replace(STARTED, infos=(("backup", "true"), ("progress_percent", "0")))
    infos = (("progress_percent", "40"), ("persist_cost", "1.50"), ("other", "x"))
    seen = rules.reported(task, ImportReport(7, 3, 2, infos=infos))
    assert seen.infos == (("backup", "true"), ("progress_percent", "40"), ("persist_cost", "1.50"))
    broken = (("failed_reason", "no such file"), ("persist_cost", "9"))
    over = rules.reported(seen, ImportReport(7, 3, 1, infos=broken))
    assert (over.error, over.infos, over.state) == ("no such file", seen.infos, ImportState.FAILED)


@pytest.mark.parametrize("task", [None, TASK])
def test_nobody_works_on_what_is_reported(task: ImportTask | None) -> None:
    with pytest.raises(Refused, match=r"^failed to update import task, ID not found: 7$"):
        rules.reported(task, ImportReport(7, 3, 2))


def test_a_failed_task_stays_failed() -> None:
    over = rules.failed(STARTED, "a")
    for task in (over, rules.cleaned(over)):
        with pytest.raises(Refused, match=r"^trying to update an already failed task 7$"):
            rules.reported(task, ImportReport(7, 3, 5))


def test_a_second_datanode_is_refused() -> None:
    with pytest.raises(Refused, match="import task 7 was given to datanode 3, not to 4"):
        rules.reported(STARTED, ImportReport(7, 4, 5))


@pytest.mark.parametrize("state", [0, 3, 7, 99])
def test_what_no_datanode_can_say(state: int) -> None:
    with pytest.raises(Refused, match=f"cannot be reported as state {state}"):
        rules.reported(STARTED, ImportReport(7, 3, state))


def test_late_reports_change_nothing() -> None:
    kept = rules.reported(STARTED, ImportReport(7, 3, 5, segments=(1,)))
    assert rules.reported(kept, ImportReport(7, 3, 2, segments=(9,))) is kept
    done = rules.completed(kept)
    for state in (1, 2, 5, 6):
        assert rules.reported(done, ImportReport(7, 3, state, segments=(9,))) is done


def aged(task: ImportTask, now_s: int) -> ImportTask | None:
    return rules.expired(task, now_s, expiration_s=900, retention_s=86400)


def test_time_passes() -> None:
    assert aged(STARTED, 2899) is STARTED
    over = aged(STARTED, 2900)
    assert over is not None
    assert (over.state, over.error) == (ImportState.FAILED, "the import task has timed out")
    cleaned = aged(over, 2900)
    assert cleaned is not None
    assert cleaned.state is ImportState.FAILED_AND_CLEANED
    assert aged(TASK, 10**9) is TASK, "who waits may wait"
    assert aged(STARTED, 10**9) is not None
    assert aged(over, 87399) is not None
    assert aged(over, 87400) is None
    assert aged(cleaned, 87400) is None


def test_a_new_leader_gives_up_what_datanodes_worked_on() -> None:
    assert rules.recovered(TASK) is TASK
    over = rules.recovered(replace(STARTED, error="before"))
    assert over is not None
    assert over.error == "before; task marked failed as service restarted"
    assert rules.recovered(over) is over


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ((4, 4), ImportState.COMPLETED),
        ((), ImportState.COMPLETED),
        ((4, 7), None),
        ((3,), None),
        ((7, 6), ImportState.FAILED),
        ((4, 1), ImportState.FAILED),
    ],
)
def test_segments_decide(states: tuple[int, ...], expected: ImportState | None) -> None:
    assert rules.after_flush(states) is expected


def test_what_users_are_told() -> None:
    task = replace(
        TASK,
        files=("a", "b"),
        collection_name="c",
        partition_name="p",
        error="e",
        infos=(("progress_percent", "1"),),
    )
    assert rules.shown_infos(task) == (
        ("files", "a,b"),
        ("collection", "c"),
        ("partition", "p"),
        ("failed_reason", "e"),
        ("progress_percent", "1"),
    )


_TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
_INT = st.integers(0, 2**63 - 1)
_TASKS = st.builds(
    ImportTask,
    id=_INT,
    collection_id=_INT,
    partition_id=_INT,
    virtual_channels=st.lists(_TEXT, max_size=3).map(tuple),
    files=st.lists(_TEXT, max_size=3).map(tuple),
    created_s=_INT,
    state=st.sampled_from(ImportState),
    datanode_id=_INT,
    started_s=_INT,
    segments=st.lists(_INT, max_size=3).map(tuple),
    row_ids=st.lists(_INT, max_size=3).map(tuple),
    row_count=_INT,
    error=_TEXT,
    infos=st.lists(st.tuples(_TEXT, _TEXT), max_size=3).map(tuple),
    database_name=_TEXT,
    collection_name=_TEXT,
    partition_name=_TEXT,
    request_id=_INT,
    bucket=_TEXT,
    row_based=st.booleans(),
)


@given(_TASKS)
def test_every_field_survives_etcd(task: ImportTask) -> None:
    key = CATALOG.key(task.id)
    assert CATALOG.decode(key, encode(task)) == (task.id, task)
    message = message_class("milvus.proto.data.ImportTaskInfo").FromString(encode(task))
    assert message.HasField("state"), "Go writes into it unasked"


def test_keys_and_damage() -> None:
    assert CATALOG.key(7) == b"by-dev/kv/importtask/7"
    with pytest.raises(BadValue, match="importtask/7 holds no import task"):
        CATALOG.decode(CATALOG.key(7), b"\xff\xff")
    with pytest.raises(BadValue, match="importtask/8 holds import task 7"):
        CATALOG.decode(CATALOG.key(8), encode(TASK))


class Life(RuleBasedStateMachine):
    """Whatever happens to one task in whatever order, it moves as the table says."""

    def __init__(self) -> None:
        super().__init__()
        self.task = TASK
        self.before = TASK
        self.now_s = 2000

    def become(self, task: ImportTask) -> None:
        self.before, self.task = self.task, task

    @rule(node=st.integers(1, 3))
    def start(self, node: int) -> None:
        if self.task.state is ImportState.PENDING:
            self.become(rules.started(self.task, node, self.now_s))
        else:
            with pytest.raises(IllegalMove):
                rules.started(self.task, node, self.now_s)

    @rule(
        state=st.integers(-1, 9),
        node=st.integers(0, 3),
        segments=st.lists(st.integers(1, 4), max_size=2).map(tuple),
    )
    def report(self, state: int, node: int, segments: tuple[int, ...]) -> None:
        try:
            self.become(rules.reported(self.task, ImportReport(7, node, state, segments)))
        except Refused:
            self.become(self.task)

    @rule(states=st.lists(st.integers(0, 7), max_size=3))
    def flip(self, states: list[int]) -> None:
        if self.task.state is ImportState.PERSISTED:
            where = rules.after_flush(states)
            if where is not None:
                flipped = rules.flipped(self.task, where)
                assert flipped is not None
                assert flipped.state is where
                self.become(flipped)

    @rule(seconds=st.integers(0, 1000))
    def wait(self, seconds: int) -> None:
        self.now_s += seconds
        aged = rules.expired(self.task, self.now_s, expiration_s=900, retention_s=10**9)
        assert aged is not None
        self.become(aged)

    @rule()
    def restart(self) -> None:
        recovered = rules.recovered(self.task)
        assert recovered is not None
        self.become(recovered)
        assert not self.task.working

    @rule()
    def store(self) -> None:
        self.become(CATALOG.decode(CATALOG.key(7), encode(self.task))[1])

    @invariant()
    def legal(self) -> None:
        was, now = self.before.state, self.task.state
        assert now is was or now in MOVES[was], f"{was.name} became {now.name}"

    @invariant()
    def the_same_task(self) -> None:
        kept = ("id", "collection_id", "partition_id", "virtual_channels", "files", "created_s")
        assert all(getattr(self.task, name) == getattr(TASK, name) for name in kept)

    @invariant()
    def the_last_states_are_final(self) -> None:
        if self.before.state in (ImportState.COMPLETED, ImportState.FAILED_AND_CLEANED):
            assert self.task == self.before


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


def test_what_is_not_there_or_has_moved_on_is_left_as_it_is() -> None:
    assert rules.recovered(None) is None
    assert rules.expired(None, 10**9, expiration_s=900, retention_s=86400) is None
    assert rules.offered(None, 3, 2000) is rules.flipped(None, ImportState.COMPLETED) is None
    assert rules.offered(STARTED, 4, 2000) is STARTED
    assert rules.flipped(STARTED, ImportState.COMPLETED) is STARTED


def test_an_offer_is_taken_or_fails_when_its_answer_is_lost() -> None:
    taken = rules.offered(TASK, 3, 2000)
    assert taken == STARTED
    lost = rules.offered(TASK, "connection lost", 2000)
    assert lost is not None
    assert (lost.state, lost.error) == (
        ImportState.FAILED,
        "datacoord did not say whether it took the task: connection lost",
    )
