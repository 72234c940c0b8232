"""The bounds of the limits themselves."""

from __future__ import annotations

from typing import Any

import pytest

from milvus_coord.rpc.server.limits import Limits


def test_defaults_are_what_go_clients_can_take() -> None:
    limits = Limits()
    assert limits.receive_bytes_max == 512 << 20
    assert limits.send_bytes_max == 256 << 20
    assert limits.streams_max >= 1000


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("receive_bytes_max", 0),
        ("receive_bytes_max", 1 << 32),
        ("send_bytes_max", -1),
        ("window_bytes", 65_534),
        ("window_bytes", 1 << 31),
        ("streams_max", 0),
        ("header_bytes_max", 0),
        ("keepalive_time_s", 0),
        ("keepalive_timeout_s", -1),
        ("backlog", 0),
    ],
)
def test_a_senseless_limit_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        Limits(**{name: value})
