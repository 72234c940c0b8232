"""A secret is planted wherever a setting may hold one; nothing that is printed has it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from milvus_coord.cli.config_show import show
from milvus_coord.config import ConfigError, Loaded, Settings, load, load_stored
from milvus_coord.config.listing import listing
from milvus_coord.config.section import leaves
from milvus_coord.etcd.settings import Endpoint
from milvus_coord.model.redaction import MASK, without_logins
from milvus_coord.telemetry.logformat import Entry, encode_json, encode_text

PLANT = "hunter2PLANT"
URLS = (
    f"http://root:{PLANT}@127.0.0.1:2379",
    f"pulsar+ssl://u:{PLANT}@broker:6651",
    f"root:{PLANT}@host:2379,http://x:{PLANT}@y",
    f"{'x' * 90}//http://:{PLANT}@host:1",
    f"https://user:p@ss/{PLANT}@host",
)
OPTIONS = (
    "sasl.password",
    "sasl.username",
    "sasl.jaas.config",
    "sasl.oauthbearer.config",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.assertion.private.key.passphrase",
    "sasl.oauthbearer.assertion.private.key.pem",
    "ssl.key.pem",
    "ssl.key.password",
    "ssl.key.location",
    "ssl.keystore.password",
    "some.token",
)
"""Those that librdkafka calls sensitive, and what is named like them."""


def printed(loaded: Loaded) -> str:
    shown = [show(loaded, output) for output in ("table", "json", "yaml")]
    return "\n".join([*shown, json.dumps(listing(loaded.settings, ""))])


def said(**given: object) -> str:
    """All that is said of a configuration, whether it is taken or refused."""
    try:
        loaded = load("rootcoord", **given)  # type: ignore[arg-type]  # as the caller says
    except ConfigError as error:
        return f"{error}\n{error!r}"
    return printed(loaded)


@pytest.mark.parametrize("leaf", leaves(Settings), ids=lambda leaf: leaf.key)
def test_no_setting_shows_a_secret(leaf: object, tmp_path: Path) -> None:
    key, kind = leaf.key, leaf.kind  # type: ignore[attr-defined]
    for text in (URLS[0], PLANT if kind.secret else URLS[3]):
        file = tmp_path / "milvus.yaml"
        *sections, name = key.split(".")
        indent = "".join(f"{'  ' * at}{section}:\n" for at, section in enumerate(sections))
        file.write_text(f"{indent}{'  ' * len(sections)}{name}: {json.dumps(text)}\n")
        assert PLANT not in said(environ={}, config=file)
        assert PLANT not in said(environ={}, overlay={key.replace(".", "/"): text})
        stored = load_stored("rootcoord", environ={}, overlay={key.replace(".", "/"): text})
        assert PLANT not in printed(stored)


@pytest.mark.parametrize("name", OPTIONS)
def test_no_option_of_the_queue_shows_a_secret(name: str) -> None:
    said_of = said(environ={}, overlay={f"kafka/producer/{name}": PLANT})
    assert PLANT not in said_of
    assert name in said_of


@pytest.mark.parametrize("url", URLS)
def test_an_option_that_is_an_address_shows_no_login(url: str) -> None:
    assert PLANT not in said(environ={}, overlay={"kafka/producer/metadata.url": url})


@pytest.mark.parametrize("url", URLS)
def test_an_endpoint_that_is_refused_shows_no_login(url: str) -> None:
    with pytest.raises(ValueError, match="etcd endpoint") as refused:
        Endpoint.parse(url, None)
    assert PLANT not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("http://a:b@c:1/d", f"http://{MASK}@c:1/d"),
        ("a:b@c:1,d:2", f"{MASK}@c:1,d:2"),
        ("host:2379", "host:2379"),
        ("ann@host", "ann@host"),
        ("by ann@host: later", "by ann@host: later"),
        ("12:30 by ann@host:1", "12:30 by ann@host:1"),
    ],
)
def test_logins_alone_are_masked(text: str, clean: str) -> None:
    assert without_logins(text) == clean


@pytest.mark.parametrize("encode", [encode_text, encode_json])
@pytest.mark.parametrize("url", URLS[:2])
def test_no_log_line_shows_a_login(encode: Callable[[Entry], str], url: str) -> None:
    """Wherever it stands: in the message, a field, an error, its traceback, nested or in bytes."""
    try:
        raise OSError(f"cannot reach {url}")
    except OSError as error:
        fields = {"a": url, "error": error, "list": [url], "map": {"x": url}, "raw": url.encode()}
        line = encode(Entry(datetime.now(UTC), "ERROR", "a/b.py:1", f"at {url}", fields))
    assert PLANT not in line
    assert line.count(MASK) >= 6


def test_no_variable_of_a_service_shows_a_login() -> None:
    environ = {"ROOT_COORD_PORT": f"tcp://u:{PLANT}@10.0.0.1:80"}
    assert PLANT not in said(environ=environ)
