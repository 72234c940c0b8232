"""The `system_info` metrics of a role: JSON that Go decodes into typed structs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from milvus_coord.model.errors import Refused
from milvus_coord.runtime.clock import Clock
from milvus_coord.telemetry.hardware import Hardware

SYSTEM_INFO: Final = "system_info"
_KEPT_S: Final = 5.0
_DISK_BYTES: Final = (100 << 20, 2 << 20)
"""Go 2.2.16 reports these two constants."""

_DEPLOYED: Final = {
    "system_version": "MILVUS_GIT_COMMIT",
    "deploy_mode": "DEPLOY_MODE",
    "build_version": "MILVUS_GIT_BUILD_TAGS",
    "build_time": "MILVUS_BUILD_TIME",
    "used_go_version": "MILVUS_USED_GO_VERSION",
}


@dataclass(frozen=True, slots=True)
class Reporter:
    """Who reports: `address` is `ip:port`, `configurations` are settings that are shown only."""

    role: str
    server_id: int
    address: str
    configurations: Mapping[str, object]

    @property
    def component(self) -> str:
        """`rootcoord7`; a proxy draws its edges by it."""
        return f"{self.role}{self.server_id}"


class SystemInfo:
    """Makes the report, at most once in five seconds, as Go 2.2.16 does."""

    def __init__(
        self, me: Reporter, environ: Mapping[str, str], clock: Clock, look: Callable[[], Hardware]
    ) -> None:
        self.me = me
        self._environ, self._clock, self._look = environ, clock, look
        self._created = _stamp(clock.wall_ns())
        self._report, self._made_at = "", -_KEPT_S

    def answer(self, request: str) -> str:
        """The report that `request`, JSON with a `metric_type`, asks for. Raises Refused."""
        if metric_type(request) != SYSTEM_INFO:
            raise Refused("sorry, but this metric type is not implemented")
        now_s = self._clock.boottime()
        if now_s - self._made_at >= _KEPT_S:
            self._report, self._made_at = self._make(), now_s
        return self._report

    def _make(self) -> str:
        me, hardware = self.me, self._look()
        disk, disk_used = _DISK_BYTES
        report = {
            "self": {
                "has_error": False,
                "error_reason": "",
                "name": me.component,
                "hardware_infos": {
                    "ip": me.address,
                    "cpu_core_count": hardware.cpus,
                    "cpu_core_usage": hardware.cpu_percent,
                    "memory": hardware.memory,
                    "memory_usage": hardware.memory_used,
                    "disk": disk,
                    "disk_usage": disk_used,
                },
                "system_info": {
                    field: self._environ.get(name, "") for field, name in _DEPLOYED.items()
                },
                "created_time": self._created,
                "updated_time": _stamp(self._clock.wall_ns()),
                "type": me.role,
                "id": me.server_id,
                "system_configurations": dict(me.configurations),
            },
            "connections": {"name": me.component, "connected_components": []},
        }
        return json.dumps(report, separators=(",", ":"))


def metric_type(request: str) -> str:
    """The `metric_type` that `request` names. Raises Refused, in Go's words where it has some."""
    try:
        fields = json.loads(request)
    except (ValueError, RecursionError) as error:
        raise Refused(f"ParseMetricType failed: failed to decode the request: {error}") from error
    if not isinstance(fields, dict) or "metric_type" not in fields:
        raise Refused("ParseMetricType failed: metric_type not found in request")
    return _whole_characters(str(fields["metric_type"]))


def _whole_characters(text: str) -> str:
    """With U+FFFD, as in Go, for each half of a character: JSON can escape one."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _stamp(wall_ns: int) -> str:
    """A moment as Go prints one: `2026-11-23 05:38:37.32 +0000 UTC`."""
    seconds, rest_ns = divmod(wall_ns, 1_000_000_000)
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))
    return f"{moment}.{rest_ns:09d} +0000 UTC"
