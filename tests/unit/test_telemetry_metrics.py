"""Metrics keep Milvus' names to the letter and read back as Prometheus reads them."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from milvus_coord.telemetry.exposition import exposition, go_float
from milvus_coord.telemetry.metrics import BUCKETS, Metrics


def ours(metrics: Metrics) -> list[str]:
    text = metrics.render().decode()
    return [line for line in text.splitlines() if "milvus_" in line]


def test_a_counter_has_its_very_name() -> None:
    metrics = Metrics()
    count = metrics.counter(
        "milvus_rootcoord_ddl_req_count", "counter of DDL", ("function_name", "status")
    )
    count.labels("CreateCollection", "total").inc()
    count.labels(status="total", function_name="CreateCollection").inc(2)
    assert ours(metrics) == [
        "# HELP milvus_rootcoord_ddl_req_count counter of DDL",
        "# TYPE milvus_rootcoord_ddl_req_count counter",
        'milvus_rootcoord_ddl_req_count{function_name="CreateCollection",status="total"} 3',
    ]


def test_a_counter_without_labels_starts_at_zero() -> None:
    metrics = Metrics()
    count = metrics.counter("milvus_rootcoord_id_alloc_count", "ids")
    assert ours(metrics)[-1] == "milvus_rootcoord_id_alloc_count 0"
    count.inc(41)
    count.inc()
    assert ours(metrics)[-1] == "milvus_rootcoord_id_alloc_count 42"


def test_a_counter_refuses_to_go_down_and_foreign_labels() -> None:
    count = Metrics().counter("milvus_x", "x", ("status",))
    with pytest.raises(ValueError, match="only goes up"):
        count.labels("total").inc(-1)
    for wrong in ((), ("a", "b")):
        with pytest.raises(ValueError, match="has the labels"):
            count.labels(*wrong)
    with pytest.raises(ValueError, match="has the labels"):
        count.labels(state="total")


def test_counts_of_threads_add_up() -> None:
    count = Metrics().counter("milvus_x", "x", ("status",))

    def add() -> None:
        for _ in range(1000):
            count.labels("total").inc()

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count.labels("total").value == 4000


def test_num_node_is_there_only_while_active() -> None:
    metrics = Metrics()
    gauge = metrics.gauge("milvus_num_node", "nodes", ("node_id", "role_name"))
    assert ours(metrics) == []
    gauge.labels(19, "rootcoord").set(1)
    assert ours(metrics)[-1] == 'milvus_num_node{node_id="19",role_name="rootcoord"} 1'
    gauge.remove(19, "rootcoord")
    assert ours(metrics) == []


def test_a_removed_counter_series_is_gone() -> None:
    metrics = Metrics()
    count = metrics.counter("milvus_x", "x", ("status",))
    count.labels("total").inc()
    count.remove("total")
    count.remove("never")
    assert ours(metrics) == []


def test_a_histogram_has_gos_buckets() -> None:
    metrics = Metrics()
    metrics.histogram("milvus_meta_request_latency", "ms", ("meta_op_type",)).labels("get").observe(
        3
    )
    lines = ours(metrics)
    bounds = [line.split('le="')[1].split('"')[0] for line in lines if "_bucket" in line]
    assert bounds == [*(str(2**power) for power in range(18)), "+Inf"]
    assert BUCKETS[-1] == 131072
    assert 'milvus_meta_request_latency_bucket{meta_op_type="get",le="2"} 0' in lines
    assert 'milvus_meta_request_latency_bucket{meta_op_type="get",le="4"} 1' in lines
    assert 'milvus_meta_request_latency_sum{meta_op_type="get"} 3' in lines
    assert 'milvus_meta_request_latency_count{meta_op_type="get"} 1' in lines
    assert not [line for line in lines if "_created" in line]


def test_own_buckets() -> None:
    metrics = Metrics()
    metrics.histogram("milvus_querycoord_load_latency", "ms", buckets=(0, 500, 1_800_000))
    bounds = [line.split('le="')[1].split('"')[0] for line in ours(metrics) if "_bucket" in line]
    assert bounds == ["0", "500", "1.8e+06", "+Inf"]


def test_the_same_metric_is_made_once() -> None:
    metrics = Metrics()
    assert metrics.counter("milvus_a", "a") is metrics.counter("milvus_a", "a")
    assert metrics.gauge("milvus_b", "b", ["x"]) is metrics.gauge("milvus_b", "b", ("x",))
    assert metrics.histogram("milvus_c", "c") is metrics.histogram("milvus_c", "c")
    for clash in (
        lambda: metrics.gauge("milvus_a", "a"),
        lambda: metrics.gauge("milvus_b", "b"),
        lambda: metrics.histogram("milvus_c", "c", buckets=(1, 2)),
    ):
        with pytest.raises(ValueError, match="exists already"):
            clash()
    with pytest.raises(ValueError, match="start with milvus_"):
        metrics.counter("rootcoord_x", "x")


def test_everything_reads_back() -> None:
    metrics = Metrics()
    nasty = 'a "b" \\ c\nd {},='
    metrics.counter("milvus_a_count", nasty, ("x",)).labels(nasty).inc(1e9)
    metrics.gauge("milvus_b", "b").set(-0.25)
    metrics.histogram("milvus_c", "c").observe(70)
    families = {
        family.name: family for family in text_string_to_metric_families(metrics.render().decode())
    }
    assert families["milvus_a_count"].type == "counter"
    assert families["milvus_a_count"].documentation == nasty
    (sample,) = families["milvus_a_count"].samples
    assert (sample.labels, sample.value) == ({"x": nasty}, 1e9)
    assert families["milvus_b"].samples[0].value == -0.25
    assert families["milvus_c"].type == "histogram"
    for name in ("process_resident_memory_bytes", "process_cpu_seconds", "python_info"):
        assert families[name].samples


def test_runtime_metrics_stand_alone() -> None:
    metrics = Metrics()
    metrics.gauge("milvus_b", "b").set(1)
    text = metrics.render_runtime().decode()
    assert "process_open_fds" in text
    assert "milvus_" not in text


def test_nothing_renders_as_nothing() -> None:
    assert exposition([]) == b""


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (1.0, "1"),
        (131072.0, "131072"),
        (999999.0, "999999"),
        (1e6, "1e+06"),
        (1.8e6, "1.8e+06"),
        (447035230208000000.0, "4.47035230208e+17"),
        (0.5, "0.5"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (-2.5e-7, "-2.5e-07"),
        (-1234567.5, "-1.2345675e+06"),
        (float("inf"), "+Inf"),
        (float("-inf"), "-Inf"),
        (float("nan"), "NaN"),
    ],
)
def test_floats_as_go_writes_them(value: float, text: str) -> None:
    assert go_float(value) == text


@given(st.floats(allow_nan=False))
def test_floats_read_back(value: float) -> None:
    assert float(go_float(value)) == value
