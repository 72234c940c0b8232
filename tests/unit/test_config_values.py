"""What the settings offer: addresses, roles, roots, frozen values, hidden secrets."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest
from pydantic import ValidationError

from milvus_coord.config import ConfigError, Loaded, Settings, load
from milvus_coord.config.address import join_address, split_address
from milvus_coord.config.etcd import join_path
from milvus_coord.config.kinds import Secret


def loaded(**environ: str) -> Loaded:
    return load("rootcoord", environ=environ, cwd=Path("/nonexistent"))


@pytest.mark.parametrize(
    ("role", "port"),
    [("rootcoord", 53100), ("datacoord", 13333), ("querycoord", 19531), ("indexcoord", 31000)],
)
def test_default_role(role: str, port: int) -> None:
    settings = Settings().role(role)
    assert (settings.name, settings.port) == (role, port)
    assert not settings.enable_active_standby
    assert settings.advertise is None
    assert settings.grpc_graceful_stop_timeout_s == 30
    assert settings.server_max_recv_size == settings.server_max_send_size == 536870912


def test_unknown_role() -> None:
    with pytest.raises(KeyError):
        Settings().role("proxy")
    with pytest.raises(KeyError):
        load("proxy", environ={})


def test_grpc_sizes_of_the_role_win_over_those_of_all() -> None:
    settings = loaded(
        GRPC_SERVER_MAX_RECV_SIZE="11",
        GRPC_SERVER_MAX_SEND_SIZE="12",
        ROOT_COORD_GRPC_SERVER_MAX_RECV_SIZE="21",
        ROOT_COORD_GRPC_GRACEFUL_STOP_TIMEOUT="5",
    ).settings
    root, data = settings.role("rootcoord"), settings.role("datacoord")
    assert (root.server_max_recv_size, root.server_max_send_size) == (21, 12)
    assert (data.server_max_recv_size, data.server_max_send_size) == (11, 12)
    assert (root.grpc_graceful_stop_timeout_s, data.grpc_graceful_stop_timeout_s) == (5, 30)


@pytest.mark.parametrize(
    ("text", "advertise"),
    [
        ("rootcoord-1", "rootcoord-1:53100"),
        ("rootcoord-1:6000", "rootcoord-1:6000"),
        ("root_coord.ns.svc:1", "root_coord.ns.svc:1"),
        ("10.0.0.7", "10.0.0.7:53100"),
        ("[fd00::1]", "[fd00::1]:53100"),
        ("[fd00::1]:2", "[fd00::1]:2"),
    ],
)
def test_advertised_address(text: str, advertise: str) -> None:
    assert loaded(ROOT_COORD_ADDRESS=text).settings.role("rootcoord").advertise == advertise


def test_advertised_address_from_etcd_but_not_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "milvus.yaml").write_text("rootCoord:\n  address: localhost\n")
    plain = load("rootcoord", config=tmp_path, environ={})
    assert plain.settings.role("rootcoord").advertise is None
    assert plain.warnings == ()
    assert plain.notes == (
        f"rootCoord.address is ignored in file {tmp_path}/milvus.yaml line 2: Milvus ships "
        "localhost there and never reads it; set it by environment or etcd",
    )
    assert load("datacoord", config=tmp_path, environ={}).notes == ()
    over = load("rootcoord", config=tmp_path, environ={}, overlay={"rootCoord/address": "a:1"})
    assert over.settings.role("rootcoord").advertise == "a:1"


@pytest.mark.parametrize(
    ("text", "endpoints"),
    [
        ("a:1", ("a:1",)),
        ("a:1,b:2, c:3", ("a:1", "b:2", "c:3")),
        ("http://etcd:2379", ("etcd:2379",)),
        ("https://etcd:2379/", ("https://etcd:2379",)),
        ("http://etcd:2379/,[::1]:2379", ("etcd:2379", "[::1]:2379")),
    ],
)
def test_endpoints(text: str, endpoints: tuple[str, ...]) -> None:
    assert loaded(ETCD_ENDPOINTS=text).settings.etcd.endpoints == endpoints


@pytest.mark.parametrize(
    ("parts", "joined"),
    [
        (("by-dev", "meta"), "by-dev/meta"),
        (("by-dev/", "/meta/"), "by-dev/meta"),
        (("", "meta"), "meta"),
        (("/", "meta"), "/meta"),
        (("//a//b", "./meta"), "/a/b/meta"),
        (("a/..", "meta"), "meta"),
        (("", ""), ""),
    ],
)
def test_join_path_is_go_path_join(parts: tuple[str, str], joined: str) -> None:
    assert join_path(*parts) == joined


def test_roots() -> None:
    etcd = loaded(ETCD_ROOT_PATH="/prod/", ETCD_KV_SUB_PATH="k/").settings.etcd
    assert (etcd.meta_root, etcd.kv_root) == ("/prod/meta", "/prod/k")


def test_addresses_split_and_join() -> None:
    assert split_address("[::1]:5") == ("::1", 5)
    assert split_address("host") == ("host", None)
    assert join_address("::1", 5) == "[::1]:5"
    assert join_address("host", 5) == "host:5"


@pytest.mark.parametrize("text", ["1", "t", "T", "true", "TRUE", "True"])
def test_true(text: str) -> None:
    settings = loaded(ROOT_COORD_ENABLE_ACTIVE_STANDBY=text).settings
    assert settings.role("rootcoord").enable_active_standby is True


@pytest.mark.parametrize("text", ["0", "f", "F", "false", "FALSE", "False"])
def test_false(text: str) -> None:
    assert loaded(LOG_STDOUT=text).settings.log.stdout is False


def test_choices_take_any_case() -> None:
    assert loaded(LOG_LEVEL="WARN", LOG_FORMAT="JSON").settings.log.level == "warn"


def test_settings_are_frozen() -> None:
    settings = Settings()
    with pytest.raises(ValidationError):
        settings.log.level = "debug"
    with pytest.raises(ValidationError):
        settings.metrics_port = 1


def test_the_environment_of_the_process_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("METRICS_PORT", "metrics_port", "ETCD", "etcd", "LOG"):
        monkeypatch.setenv(name, "1")
    assert Settings() == loaded().settings
    assert Settings().metrics_port == 9091


PASSWORD = "correct-horse-battery"


def test_secrets_are_in_no_text() -> None:
    ok = loaded(ETCD_AUTH_ENABLED="true", ETCD_AUTH_USER_NAME="u", ETCD_AUTH_PASSWORD=PASSWORD)
    assert ok.settings.etcd.auth.password.get_secret_value() == PASSWORD
    for text in (str(ok), repr(ok), str(ok.settings), repr(ok.settings), repr(ok.origins)):
        assert PASSWORD not in text


def test_a_secret_is_not_quoted_even_if_illegal() -> None:
    assert PASSWORD not in Secret().quote(PASSWORD)


def test_secrets_are_in_no_error() -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(ETCD_AUTH_ENABLED="maybe", ETCD_AUTH_PASSWORD=PASSWORD, LOG_LEVEL="loud")
    text = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert PASSWORD not in text
    assert len(caught.value.problems) == 2
