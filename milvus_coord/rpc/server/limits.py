"""The numbers that bound one RPC server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_HTTP2_WINDOW_MIN: Final = 65_535
_HTTP2_WINDOW_MAX: Final = 2**31 - 1
_GRPC_MESSAGE_MAX: Final = 2**32 - 1
_MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes, counts and times of an `RpcServer`.

    Sizes are of one message without its 5 byte prefix. Go 2.2.16 takes and sends 512 MiB on its
    servers, but its clients take 256 MiB: a larger reply would only be thrown away there.

    Go sets no limit to concurrent streams. 4096 a connection is more than a second of work for
    one event loop; calls beyond wait in their client, where their deadline is still running,
    instead of here, where each holds a task.
    """

    receive_bytes_max: int = 512 * _MIB
    send_bytes_max: int = 256 * _MIB
    streams_max: int = 4096
    window_bytes: int = 16 * _MIB
    header_bytes_max: int = 64 * 1024
    keepalive_time_s: float = 60.0
    keepalive_timeout_s: float = 10.0
    backlog: int = 1024

    def __post_init__(self) -> None:
        for name in ("receive_bytes_max", "send_bytes_max"):
            if not 0 < getattr(self, name) <= _GRPC_MESSAGE_MAX:
                raise ValueError(f"{name} must be 1 to {_GRPC_MESSAGE_MAX} bytes")
        if not _HTTP2_WINDOW_MIN <= self.window_bytes <= _HTTP2_WINDOW_MAX:
            raise ValueError(f"window_bytes must be {_HTTP2_WINDOW_MIN} to {_HTTP2_WINDOW_MAX}")
        for name in (
            "streams_max",
            "header_bytes_max",
            "keepalive_time_s",
            "keepalive_timeout_s",
            "backlog",
        ):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive")
