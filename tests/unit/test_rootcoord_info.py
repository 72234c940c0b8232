"""What RootCoord says about itself."""

from __future__ import annotations

import json

import pytest

from milvus_coord.config import Settings
from milvus_coord.config.listing import listing
from milvus_coord.model.errors import Refused
from milvus_coord.role.rpcs.system_info import Reporter, SystemInfo
from milvus_coord.runtime.clock import ManualClock
from milvus_coord.telemetry.hardware import Hardware, look

ASK = '{"metric_type":"system_info"}'


def made(clock: ManualClock) -> SystemInfo:
    hardware = Hardware(cpus=2, cpu_percent=25.5, memory=1000, memory_used=10)
    me = Reporter("rootcoord", 7, "10.0.0.2:53100", {"min_segment_size_to_enable_index": 1024})
    return SystemInfo(me, {"DEPLOY_MODE": "DISTRIBUTED"}, clock, lambda: hardware)


def test_the_report_has_the_types_that_go_decodes() -> None:
    report = json.loads(made(ManualClock()).answer(ASK))
    me = report["self"]
    assert (me["name"], me["type"], me["id"]) == ("rootcoord7", "rootcoord", 7)
    assert me["hardware_infos"] == {
        "ip": "10.0.0.2:53100",
        "cpu_core_count": 2,
        "cpu_core_usage": 25.5,
        "memory": 1000,
        "memory_usage": 10,
        "disk": 104857600,
        "disk_usage": 2097152,
    }
    assert all(
        isinstance(me["hardware_infos"][key], int) for key in ("memory", "memory_usage", "disk")
    )
    assert me["system_info"]["deploy_mode"] == "DISTRIBUTED"
    assert me["system_configurations"] == {"min_segment_size_to_enable_index": 1024}
    assert report["connections"] == {"name": "rootcoord7", "connected_components": []}


def test_the_report_is_kept_for_five_seconds() -> None:
    clock = ManualClock()
    info = made(clock)
    first = info.answer(ASK)
    clock.advance(4.9)
    assert info.answer(ASK) == first
    clock.advance(0.2)
    later = json.loads(info.answer(ASK))["self"]
    assert later["created_time"] == json.loads(first)["self"]["created_time"]
    assert later["updated_time"] != json.loads(first)["self"]["updated_time"]


@pytest.mark.parametrize(
    ("request_json", "reason"),
    [
        ("", "ParseMetricType failed: failed to decode the request: "),
        ("{", "ParseMetricType failed: failed to decode the request: "),
        ("[]", "ParseMetricType failed: metric_type not found in request"),
        ("{}", "ParseMetricType failed: metric_type not found in request"),
        ('{"metric_type":"x"}', "sorry, but this metric type is not implemented"),
        ('{"metric_type":7}', "sorry, but this metric type is not implemented"),
    ],
)
def test_other_requests_are_refused(request_json: str, reason: str) -> None:
    with pytest.raises(Refused) as caught:
        made(ManualClock()).answer(request_json)
    assert str(caught.value).startswith(reason)


def test_the_hardware_is_that_of_this_process() -> None:
    seen = look()
    assert seen.cpus >= 1
    assert 0 < seen.memory_used < seen.memory


def test_configurations_are_listed_as_go_lists_them() -> None:
    found = dict(listing(Settings(), "rootcoord."))
    assert found["rootcoord.port"] == "53100"
    assert found["rootcoord.dmlchannelnum"] == "16"
    assert found["rootcoord.enableactivestandby"] == "false"
    assert found["rootcoord.importtaskexpiration"] == "900"
    assert listing(Settings(), "rootcoord.DML") == [("rootcoord.dmlchannelnum", "16")]
    assert listing(Settings(), "rootcoord.nothing") == []


def test_secrets_are_not_listed() -> None:
    assert dict(listing(Settings(), "etcd.auth.")) == {
        "etcd.auth.enabled": "false",
        "etcd.auth.username": "",
    }
