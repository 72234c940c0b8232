"""One warning for an address that others will hardly find us at."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from milvus_coord.app import advertised
from milvus_coord.app.advertised import look_at_address
from milvus_coord.config import load
from milvus_coord.runtime import addresses
from milvus_coord.runtime.clock import SystemClock
from milvus_coord.telemetry.log import log

KEY = "rootCoord.address (environment variable ROOT_COORD_ADDRESS)"
NO_NAME = "etcd-rootcoord does not resolve on this machine: Name or service not known"
LOOPBACK = "means each machine itself; this one has 10.0.0.9"


async def warnings(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]) -> list[str]:
    """What is wrong, a text for each warning."""
    said: list[dict[str, str]] = []
    monkeypatch.setattr(type(log), "warn", staticmethod(lambda _, **fields: said.append(fields)))
    loaded = load("rootcoord", environ=environ, cwd=Path("/nonexistent"))
    await look_at_address(loaded, "rootcoord", SystemClock())
    assert {fields["setting"] for fields in said} <= {KEY}
    return [fields["wrong"] for fields in said]


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver that knows three names, on a machine whose address is 10.0.0.9."""
    known = {"localhost": ["127.0.0.1", "::1"], "here": ["10.0.0.9"], "127.0.0.1": ["127.0.0.1"]}

    async def resolve(host: str) -> tuple[str, ...]:
        if host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return tuple(known[host])

    monkeypatch.setattr(advertised, "resolve", resolve)
    monkeypatch.setattr(advertised, "first_ipv4", lambda: "10.0.0.9")


@pytest.mark.parametrize(
    ("address", "wrong"),
    [
        ("here", []),
        ("here:53100", []),
        ("etcd-rootcoord", [NO_NAME]),
        ("localhost", [f"localhost {LOOPBACK}"]),
        ("127.0.0.1:53100", [f"127.0.0.1 {LOOPBACK}"]),
        ("here:6000", ["we listen on rootCoord.port = 53100, not on 6000, unless that is forwar"]),
        (
            "localhost:6000",
            [f"localhost {LOOPBACK}; we listen on rootCoord.port = 53100, not on 6000"],
        ),
    ],
)
async def test_addresses_of_the_wild(
    monkeypatch: pytest.MonkeyPatch, address: str, wrong: list[str]
) -> None:
    found = await warnings(monkeypatch, {"ROOT_COORD_ADDRESS": address})
    assert [text[: len(one)] for text, one in zip(found, wrong, strict=True)] == wrong


async def test_loopback_is_all_that_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(advertised, "first_ipv4", lambda: None)
    assert await warnings(monkeypatch, {"ROOT_COORD_ADDRESS": "localhost"}) == []


async def test_an_address_that_was_found_out_is_not_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert await warnings(monkeypatch, {}) == []


async def test_numbers_resolve_and_what_is_no_name_does_not() -> None:
    assert await addresses.resolve("127.0.0.1") == ("127.0.0.1",)
    with pytest.raises(OSError, match="no host name"):
        await addresses.resolve("a" * 70)
