"""Prefix ranges, settings, transactions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milvus_coord.etcd.memory.store import within
from milvus_coord.etcd.prefix import range_end, range_start
from milvus_coord.etcd.settings import Endpoint, EtcdSettings, EtcdTls
from milvus_coord.etcd.txn import Get, Txn, get, lease_is, put

few_bytes = st.binary(max_size=3) | st.text("a\xff", max_size=3).map(lambda t: t.encode("latin1"))


@given(few_bytes, few_bytes.filter(bool))
def test_a_prefix_range_holds_exactly_the_keys_with_that_prefix(prefix: bytes, key: bytes) -> None:
    assert within(key, range_start(prefix), range_end(prefix)) == key.startswith(prefix)


@pytest.mark.parametrize(
    ("prefix", "end"), [(b"a", b"b"), (b"a\xff", b"b"), (b"\xff\xff", b"\x00"), (b"", b"\x00")]
)
def test_prefix_ends_are_those_of_the_go_client(prefix: bytes, end: bytes) -> None:
    assert range_end(prefix) == end


@pytest.mark.parametrize(
    ("text", "address", "secure"),
    [
        ("etcd-0.etcd:2379", "etcd-0.etcd:2379", False),
        (" 10.0.0.1:2379 ", "10.0.0.1:2379", False),
        ("http://10.0.0.1:2379/", "10.0.0.1:2379", False),
        ("https://etcd:2379", "etcd:2379", True),
        ("[::1]:2379", "[::1]:2379", False),
    ],
)
def test_endpoints_of_every_form(text: str, address: str, secure: bool) -> None:
    endpoint = Endpoint.parse(text, None)
    assert (endpoint.address, endpoint.tls is not None) == (address, secure)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("etcd", "not host:port"),
        ("etcd:", "not host:port"),
        (":2379", "not host:port"),
        ("etcd:0", "not host:port"),
        ("etcd:70000", "not host:port"),
        ("ftp://etcd:2379", "unknown scheme 'ftp'"),
        ("::1:2379", "needs brackets"),
    ],
)
def test_what_is_no_endpoint_is_named(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        EtcdSettings(("good:2379", text))
    assert repr(text) in str(caught.value)


def test_http_is_refused_where_tls_is_configured() -> None:
    with pytest.raises(ValueError, match="says http, but TLS is enabled"):
        EtcdSettings(("http://etcd:2379",), tls=EtcdTls())


def test_settings_that_cannot_work() -> None:
    with pytest.raises(ValueError, match="at least one"):
        EtcdSettings(())
    with pytest.raises(ValueError, match="above zero"):
        EtcdSettings(("etcd:2379",), request_timeout_s=0)
    with pytest.raises(ValueError, match=r"1\.4"):
        EtcdTls(min_version="1.4")
    with pytest.raises(ValueError, match="its key"):
        EtcdTls(cert_file="client.pem")


def test_the_password_is_not_shown() -> None:
    assert "hunter2" not in repr(EtcdSettings(("etcd:2379",), user="u", password="hunter2"))


def test_a_comparison_reads_well() -> None:
    assert str(lease_is(b"by-dev/k", 7)) == "lease(by-dev/k) == 7"


def test_only_reads_may_be_repeated() -> None:
    assert Txn((), (get(b"k"),), (Get(b"k", b"l"),)).reads_only
    assert not Txn((), (get(b"k"),), (put(b"k", b""),)).reads_only
