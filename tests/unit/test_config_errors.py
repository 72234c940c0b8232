"""Every way to be wrong, and the sentence that says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milvus_coord.config import ConfigError, Loaded, Problem, Settings, load, load_stored
from milvus_coord.config.section import leaves

KEYS = [leaf.key for leaf in leaves(Settings)]
FLAG = "must be true or false (also 1, t, T, TRUE, True, 0, f, F, FALSE, False)"
ENDPOINTS = "must be host:port, several separated by commas"
LEVEL = "must be one of debug, info, warn, error, panic, fatal"
# Controls, a byte that is no UTF-8 as os.environ has it, a digit that is not ASCII.
TEXT = "aZ09 _-./:,[]{}\x1b\n\0\udce9\u0665é"
EMPTY = " (it is set but empty: unset it or give a value)"


def refused(environ: dict[str, str], *, overlay: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load("rootcoord", environ=environ, cwd=Path("/nonexistent"), overlay=overlay or {})
    head, *lines = str(caught.value).splitlines()
    assert head.startswith("configuration refused")
    assert len(lines) == len(caught.value.problems)
    return [line.strip() for line in lines]


@pytest.mark.parametrize(
    ("variable", "text", "key", "must"),
    [
        ("ROOT_COORD_PORT", "abc", "rootCoord.port", "must be a whole number from 1 to 65535"),
        ("ROOT_COORD_PORT", "0", "rootCoord.port", "must be a whole number from 1 to 65535"),
        ("ROOT_COORD_PORT", "65536", "rootCoord.port", "must be a whole number from 1 to 65535"),
        ("ROOT_COORD_PORT", "5 ", "rootCoord.port", "must be a whole number from 1 to 65535"),
        ("ROOT_COORD_PORT", "\u0665", "rootCoord.port", "must be a whole number from 1 to 65535"),
        ("ROOT_COORD_PORT", "", "rootCoord.port", f"must be a whole number from 1 to 65535{EMPTY}"),
        (
            "COMMON_SESSION_TTL",
            "20s",
            "common.session.ttl",
            "must be a whole number of s from 2 to",
        ),
        (
            "HA_TLS_MODE",
            "3",
            "ha.tls.mode",
            "must be a whole number from 0",
        ),
        (
            "ETCD_REQUEST_TIMEOUT",
            "1.5",
            "etcd.requestTimeout",
            "must be a whole number of ms, 1 or",
        ),
        (
            "GRPC_SERVER_MAX_RECV_SIZE",
            "0",
            "grpc.serverMaxRecvSize",
            "must be a whole number of byt",
        ),
        ("HA_SERVE_LEASE", "99", "ha.serveLease", "must be a whole number of ms from 100 to 60000"),
        ("ETCD_USE_EMBED", "", "etcd.use.embed", FLAG + EMPTY),
        ("LOG_LEVEL", "loud", "log.level", LEVEL),
        ("LOG_FORMAT", "xml", "log.format", "must be one of text, json"),
        ("ETCD_ENDPOINTS", "", "etcd.endpoints", ENDPOINTS + EMPTY),
        ("ETCD_ENDPOINTS", ", ,", "etcd.endpoints", ENDPOINTS),
        ("METRICS_PORT", "70000", "METRICS_PORT", "must be a whole number from 0 to 65535"),
        ("ETCD_ENDPOINTS", "etcd", "etcd.endpoints", ENDPOINTS),
        ("ETCD_ENDPOINTS", "::1:2379", "etcd.endpoints", ENDPOINTS),
        ("ETCD_META_SUB_PATH", "/", "etcd.metaSubPath", "must be a name without blanks, not empty"),
        ("COMMON_CHANNAMEPREFIX_CLUSTER", "a b", "common.chanNamePrefix.cluster", "must be a name"),
    ],
)
def test_one_bad_variable(variable: str, text: str, key: str, must: str) -> None:
    [line] = refused({variable: text})
    expected = f'{key} = "{text}" (environment variable {variable}): {must}'
    if text.isascii():
        assert line.startswith(expected)
    else:
        assert line.endswith(f"(environment variable {variable}): {must}")


def test_a_bad_value_in_the_overlay_names_the_etcd_key() -> None:
    assert refused({}, overlay={"rootCoord/port": "x"}) == [
        'rootCoord.port = "x" (etcd by-dev/meta/config/rootCoord/port): '
        "must be a whole number from 1 to 65535"
    ]


def test_all_problems_are_in_one_error(tmp_path: Path) -> None:
    (tmp_path / "milvus.yaml").write_text("log:\n  level: loud\nrootCoord:\n  port: 1\n")
    with pytest.raises(ConfigError) as caught:
        load(
            "rootcoord",
            config=tmp_path,
            environ={"ROOT_COORD_PORT": "x", "HA_SERVE_LEASE": "10000"},
            overlay={"log/format": "xml"},
        )
    assert str(caught.value) == (
        "configuration refused, 4 problems:\n"
        '  rootCoord.port = "x" (environment variable ROOT_COORD_PORT): '
        "must be a whole number from 1 to 65535\n"
        f'  log.level = "loud" (file {tmp_path}/milvus.yaml line 2): {LEVEL}\n'
        '  log.format = "xml" (etcd by-dev/meta/config/log/format): must be one of text, json\n'
        "  ha.serveLease = 10000 ms (environment variable HA_SERVE_LEASE): must be below half of "
        "the session's lease, 10000 ms; common.session.ttl = 20 s (built-in default)"
    )


def test_no_rule_is_held_against_a_value_that_is_bad_by_itself() -> None:
    [line] = refused({"COMMON_SESSION_TTL": "one", "HA_SERVE_LEASE": "15000"})
    assert line.startswith('common.session.ttl = "one"')


def test_a_shadowed_bad_value_is_no_problem(tmp_path: Path) -> None:
    (tmp_path / "milvus.yaml").write_text("log:\n  level: loud\n")
    loaded = load("rootcoord", config=tmp_path, environ={"LOG_LEVEL": "warn"})
    assert loaded.settings.log.level == "warn"


def test_hostile_text_is_escaped_and_cut() -> None:
    [line] = refused({"LOG_LEVEL": "\x1b[2J" + "a" * 100})
    assert line.startswith('log.level = "\\u001b[2Jaaa')
    assert 'aaa..." (environment variable' in line


@given(
    st.dictionaries(
        st.sampled_from(KEYS),
        st.text(TEXT) | st.integers().map(str) | st.sampled_from(["true", "a:1", "tcp://a:1", "-"]),
        max_size=8,
    )
)
def test_whatever_is_set_is_taken_or_refused(environ: dict[str, str]) -> None:
    try:
        loaded = load("rootcoord", environ=environ, cwd=Path("/nonexistent"))
    except ConfigError as err:
        problems = err.problems
    else:
        problems = ()
        assert loaded.settings.common.session.ttl * 500 > loaded.settings.ha.serve_lease_ms
    for problem in problems:
        assert problem.key in KEYS
        assert str(problem).isprintable()


def test_serve_lease_against_the_shortest_ttl() -> None:
    [line] = refused({"COMMON_SESSION_TTL": "2", "HA_SERVE_LEASE": "1000"})
    assert line == (
        "ha.serveLease = 1000 ms (environment variable HA_SERVE_LEASE): must be below half of the "
        "session's lease, "
        "1000 ms; common.session.ttl = 2 s (environment variable COMMON_SESSION_TTL)"
    )
    environ = {"COMMON_SESSION_TTL": "2", "HA_SERVE_LEASE": "999"}
    assert load("rootcoord", environ=environ).settings.ha.serve_lease_ms == 999


def test_metrics_port_against_the_port_of_this_role() -> None:
    assert refused({"METRICS_PORT": "53100"}) == [
        "METRICS_PORT = 53100 (environment variable METRICS_PORT): must differ from the role's own "
        "port; rootCoord.port = 53100 (built-in default)"
    ]
    assert load("datacoord", environ={"METRICS_PORT": "53100"}).settings.metrics_port == 53100


def test_a_private_etcd_against_endpoints_from_the_environment(tmp_path: Path) -> None:
    environ = {"ETCD_ENDPOINTS": "etcd:2379", "ETCD_USE_EMBED": "true"}
    assert refused(environ) == [
        "etcd.use.embed = true (environment variable ETCD_USE_EMBED): must be false when endpoints "
        "are given: it starts a private etcd instead; "
        "etcd.endpoints = etcd:2379 (environment variable ETCD_ENDPOINTS)"
    ]
    (tmp_path / "milvus.yaml").write_text("etcd: {use: {embed: true}, endpoints: [a:1]}\n")
    loaded = load("rootcoord", config=tmp_path, environ={})
    assert loaded.settings.etcd.use_embed
    assert loaded.notes == (
        f"etcd.endpoints (file {tmp_path}/milvus.yaml line 1) is not used: etcd.use.embed is true",
    )


def test_etcd_tls_needs_three_readable_files(tmp_path: Path) -> None:
    cert = tmp_path / "cert.pem"
    cert.touch()
    environ = {"ETCD_SSL_ENABLED": "1", "ETCD_SSL_TLS_CERT": str(cert), "ETCD_SSL_TLS_KEY": "/no"}
    on = "etcd.ssl.enabled = true (environment variable ETCD_SSL_ENABLED)"
    assert refused(environ) == [
        "etcd.ssl.tlsKey = /no (environment variable ETCD_SSL_TLS_KEY): "
        f"must be a readable file (No such file or directory); {on}",
        f'etcd.ssl.tlsCACert = "" (built-in default): must name a file; {on}',
    ]
    environ |= {"ETCD_SSL_TLS_KEY": "cert.pem", "ETCD_SSL_TLS_CA_CERT": "cert.pem"}
    assert load("rootcoord", environ=environ, cwd=tmp_path).settings.etcd.ssl.enabled


def test_etcd_login_needs_user_and_password() -> None:
    on = "must be set; etcd.auth.enabled = true (environment variable ETCD_AUTH_ENABLED)"
    assert refused({"ETCD_AUTH_ENABLED": "true"}) == [
        f'etcd.auth.userName = "" (built-in default): {on}',
        f'etcd.auth.password = "" (built-in default): {on}',
    ]


@pytest.mark.parametrize(("mode", "missing"), [("1", ["Pem", "Key"]), ("2", ["Pem", "Key", "ca"])])
def test_server_tls_needs_its_files(mode: str, missing: list[str], tmp_path: Path) -> None:
    lines = refused({"HA_TLS_MODE": mode})
    assert len(lines) == len(missing)
    assert lines[0] == (
        "ha.tls.serverPemPath = configs/cert/server.pem (built-in default): "
        f"must be a readable file (No such file or directory); ha.tls.mode = {mode} "
        "(environment variable HA_TLS_MODE)"
    )
    folder = tmp_path / "configs" / "cert"
    folder.mkdir(parents=True)
    for name in ("server.pem", "server.key", "ca.pem"):
        (folder / name).touch()
    environ = {"HA_TLS_MODE": mode}
    assert load("rootcoord", environ=environ, cwd=tmp_path).settings.ha.tls.mode > 0


def test_a_directory_is_no_certificate(tmp_path: Path) -> None:
    lines = refused(
        {
            "HA_TLS_MODE": "1",
            "HA_TLS_SERVER_PEM_PATH": str(tmp_path),
            "HA_TLS_SERVER_KEY_PATH": "",
        }
    )
    assert "must be a readable file (Is a directory)" in lines[0]
    assert lines[1].startswith(
        'ha.tls.serverKeyPath = "" (environment variable HA_TLS_SERVER_KEY_PATH): '
    )


def test_what_is_stored_in_etcd_and_cannot_be_used_is_passed_over(tmp_path: Path) -> None:
    overlay = {"rootCoord/port": "x", "ha/serveLease": "9", "log/level": "debug", "\ufffd": "y"}
    loaded = load_stored("rootcoord", environ={}, overlay=overlay)
    assert loaded.settings.log.level == "debug"
    lines = [line for line in loaded.warnings if "passed over" in line]
    assert [line.partition(" ")[0] for line in lines] == ["rootCoord.port", "ha.serveLease"]
    with pytest.raises(ConfigError, match="ROOT_COORD_PORT"):
        load_stored("rootcoord", environ={"ROOT_COORD_PORT": "y"}, overlay=overlay)


def test_what_is_wrong_only_with_what_etcd_holds_leaves_all_of_that_out() -> None:
    def check(loaded: Loaded) -> None:
        if loaded.settings.log.level == "debug":
            raise ConfigError([Problem("file x", "must not be so", "log.level")])

    loaded = load_stored("rootcoord", environ={}, overlay={"log/level": "debug"}, check=check)
    assert loaded.settings.log.level == "info"
    assert "must not be so; what is stored in etcd is passed over" in loaded.warnings[-1]
