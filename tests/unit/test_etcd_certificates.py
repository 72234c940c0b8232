"""Certificate files are checked before etcd is, and the text says which one is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from milvus_coord.etcd.errors import CertificateError
from milvus_coord.etcd.settings import EtcdTls
from milvus_coord.etcd.tls import channel_credentials, check_certificates
from testing.certificates import Issued, TestAuthority


@pytest.fixture
def authority(tmp_path: Path) -> TestAuthority:
    return TestAuthority(tmp_path)


def tls(authority: TestAuthority, client: Issued) -> EtcdTls:
    return EtcdTls(str(authority.ca_file), str(client.cert_file), str(client.key_file))


def test_good_files_pass(authority: TestAuthority) -> None:
    good = tls(authority, authority.issue("client"))
    check_certificates(good)
    assert channel_credentials(good) is not None
    check_certificates(EtcdTls())


def test_an_expired_certificate_is_named_with_its_date(authority: TestAuthority) -> None:
    late = tls(authority, authority.issue("late", valid_days=-1))
    with pytest.raises(CertificateError, match=r"late\.pem: .*CN=late expired at \d{4}-\d\d-\d\d"):
        check_certificates(late)


def test_a_certificate_of_the_future_is_named(authority: TestAuthority) -> None:
    early = tls(authority, authority.issue("early", valid_from_days=3, valid_days=4))
    with pytest.raises(CertificateError, match=r"early\.pem: .* not valid before"):
        check_certificates(early)


def test_a_key_of_another_certificate_is_named(authority: TestAuthority) -> None:
    one, two = authority.issue("one"), authority.issue("two")
    mixed = tls(authority, Issued(one.cert_file, two.key_file))
    with pytest.raises(CertificateError, match=r"two\.key is not the key of .*one\.pem"):
        check_certificates(mixed)


@pytest.mark.parametrize("which", ["ca_file", "cert_file", "key_file"])
def test_missing_and_unreadable_files_are_named(authority: TestAuthority, which: str) -> None:
    client = authority.issue("client")
    path = {
        "ca_file": authority.ca_file,
        "cert_file": client.cert_file,
        "key_file": client.key_file,
    }[which]
    path.write_text("nonsense")
    with pytest.raises(CertificateError, match=path.name):
        check_certificates(tls(authority, client))
    path.unlink()
    with pytest.raises(CertificateError, match=f"{path.name}: No such file"):
        check_certificates(tls(authority, client))
