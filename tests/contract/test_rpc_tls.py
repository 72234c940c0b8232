"""TLS on a real socket: one-way, mutual, a renewed certificate, files that do not fit."""

from __future__ import annotations

import datetime
import logging
import shutil
import ssl
from pathlib import Path
from typing import Any, NamedTuple

import grpc as untyped_grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from grpclib.const import Status

from milvus_coord.rpc.http2.channel import Channel
from milvus_coord.rpc.http2.unary import RpcError
from milvus_coord.rpc.tls import ServerTls, TlsFileError
from testing.certificates import served_serial
from testing.rpc import SERVICE, CoreClient, RawCodec, Served, eventually, serving

grpc: Any = untyped_grpc


class Pair(NamedTuple):
    """A certificate and its key; files are `<name>.pem` and `<name>.key`."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def _issue(folder: Path, name: str, issuer: Pair | None = None) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .sign(issuer.key if issuer else key, hashes.SHA256())
    )
    (folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / f"{name}.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return Pair(certificate, key)


class Files:
    """An authority, a server's pair, a client's pair, and a stranger's authority and pair."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = _issue(folder, "ca")
        _issue(folder, "server", self.ca)
        _issue(folder, "client", self.ca)
        _issue(folder, "stranger", _issue(folder, "elsewhere"))

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def server(self, *, mutual: bool = False) -> ServerTls:
        ca = self.path("ca.pem") if mutual else None
        return ServerTls(self.path("server.pem"), self.path("server.key"), ca, mutual=mutual)

    def credentials(self, client: str | None = None) -> Any:
        root = (self.folder / "ca.pem").read_bytes()
        if client is None:
            return grpc.ssl_channel_credentials(root)
        key, chain = (self.folder / f"{client}.{end}" for end in ("key", "pem"))
        return grpc.ssl_channel_credentials(root, key.read_bytes(), chain.read_bytes())


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("tls"))


def _client(served: Served, credentials: Any) -> CoreClient:
    return CoreClient(f"localhost:{served.port}", credentials)


async def test_one_way(files: Files) -> None:
    async with serving(tls=files.server()) as served:
        core = _client(served, files.credentials())
        assert await core.ask("Echo", b"secret") == ("OK", b"secret")
        await served.drain(1.0)
        assert served.server.connections == 0
        core.close()


async def test_a_plain_client_of_a_tls_port_gets_nowhere(files: Files) -> None:
    async with serving(tls=files.server()) as served:
        core = CoreClient(served.target)
        assert (await core.ask("Echo", timeout_s=3.0))[0] in {"UNAVAILABLE", "DEADLINE_EXCEEDED"}
        core.close()
        assert served.server.connections == 0


async def test_mutual_serves_known_clients_only(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(tls=files.server(mutual=True)) as served:
        known = _client(served, files.credentials("client"))
        assert await known.ask("Echo") == ("OK", b"x")
        known.close()
        for credentials in (files.credentials(), files.credentials("stranger")):
            unknown = _client(served, credentials)
            assert (await unknown.ask("Echo", timeout_s=3.0))[0] == "UNAVAILABLE"
            unknown.close()
        await eventually(lambda: served.server.connections == 0)
        assert len(served.probe.echoed) == 1
    assert [r for r in caplog.records if r.levelno >= logging.ERROR] == []


async def test_our_own_channel_speaks_tls(files: Files) -> None:
    context = ssl.create_default_context(cafile=files.path("ca.pem"))
    context.set_alpn_protocols(["h2"])
    async with serving(tls=files.server()) as served:
        channel = Channel(f"localhost:{served.port}", codec=RawCodec(), metadata={}, tls=context)
        reply = await channel.unary(f"{SERVICE}/Echo", b"x", bytes, timeout_s=5.0)
        assert reply == b"x"
        channel.close()
        distrusting = ssl.create_default_context()
        channel = Channel(
            f"localhost:{served.port}", codec=RawCodec(), metadata={}, tls=distrusting
        )
        with pytest.raises(RpcError, match="CERTIFICATE_VERIFY_FAILED") as failed:
            await channel.unary(f"{SERVICE}/Echo", b"x", bytes, timeout_s=5.0)
        assert failed.value.code is Status.UNAVAILABLE
        channel.close()


async def test_a_renewed_certificate_is_shown_after_reload(tmp_path: Path) -> None:
    files = Files(tmp_path)
    tls = files.server()
    async with serving(tls=tls) as served:
        before = await served_serial(served.port, files.path("ca.pem"))
        renewed = _issue(tmp_path, "server", files.ca)
        assert await served_serial(served.port, files.path("ca.pem")) == before
        tls.reload()
        after = await served_serial(served.port, files.path("ca.pem"))
        assert after == renewed.certificate.serial_number
        shutil.copy(files.path("client.key"), files.path("server.key"))
        with pytest.raises(TlsFileError, match=r"server\.pem and private key .*server\.key"):
            tls.reload()
        assert await served_serial(served.port, files.path("ca.pem")) == after


async def test_tls_below_1_2_is_refused(files: Files) -> None:
    assert files.server().context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_files_that_cannot_be_used_are_named(files: Files, tmp_path: Path) -> None:
    pem, key, missing = files.path("server.pem"), files.path("server.key"), "/no/such.pem"
    junk = tmp_path / "junk.pem"
    junk.write_text("not a certificate")
    encrypted = tmp_path / "encrypted.key"
    encrypted.write_bytes(
        files.ca.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(TlsFileError, match=r"certificate file /no/such\.pem: No such file"):
        ServerTls(missing, key)
    with pytest.raises(TlsFileError, match=r"private key file /no/such\.pem: No such file"):
        ServerTls(pem, missing)
    with pytest.raises(TlsFileError, match=r"junk\.pem"):
        ServerTls(str(junk), key)
    with pytest.raises(TlsFileError, match="is encrypted"):
        ServerTls(files.path("ca.pem"), str(encrypted))
    with pytest.raises(TlsFileError, match=r"authorities file /no/such\.pem"):
        ServerTls(pem, key, missing, mutual=True)
    with pytest.raises(TlsFileError, match=r"no usable authority in .*junk\.pem"):
        ServerTls(pem, key, str(junk), mutual=True)
    with pytest.raises(TlsFileError, match="needs a file of authorities"):
        ServerTls(pem, key, mutual=True)
