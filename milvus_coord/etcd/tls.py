"""TLS towards etcd: credentials for gRPC, and a check of the files that says what is wrong."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

from milvus_coord.etcd.client.verdict import NotReady
from milvus_coord.etcd.errors import CertificateError
from milvus_coord.etcd.settings import Endpoint, EtcdTls

if TYPE_CHECKING:
    from cryptography.x509 import Certificate


def channel_credentials(tls: EtcdTls) -> grpc.ChannelCredentials:
    """Credentials for a gRPC channel from the files as they are now. Raises CertificateError."""
    ca_file = tls.ca_file or ssl.get_default_verify_paths().cafile
    roots, key, chain = (
        _read(path) if path else None for path in (ca_file, tls.key_file, tls.cert_file)
    )
    credentials: grpc.ChannelCredentials = grpc.ssl_channel_credentials(  # type: ignore[no-untyped-call] # grpcio types its aio half only
        roots, key, chain
    )
    return credentials


def check_certificates(tls: EtcdTls) -> None:
    """Read all files and check that etcd can accept them now.

    Raises CertificateError naming the file: missing, not PEM, expired or not yet valid (with the
    date), a key that is not that of the certificate. Loads `cryptography` only when called.
    """
    if tls.ca_file:
        for certificate in _certificates(tls.ca_file):
            _check_dates(tls.ca_file, certificate)
    if not tls.cert_file:
        return
    chain = _certificates(tls.cert_file)
    _check_dates(tls.cert_file, chain[0])
    _check_key(tls, chain[0])


async def require_tls13(endpoint: Endpoint, timeout_s: float) -> None:
    """Shake hands once as a client that speaks nothing below TLS 1.3.

    gRPC takes 1.3 whenever the server has it, and a downgrade on the way breaks the handshake, so
    a server that passes here is spoken to in 1.3. Raises NotReady when it does not pass.
    """
    assert endpoint.tls is not None
    try:
        context = ssl.create_default_context(cafile=endpoint.tls.ca_file or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        if endpoint.tls.cert_file:
            context.load_cert_chain(endpoint.tls.cert_file, endpoint.tls.key_file)
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(endpoint.host, endpoint.port, ssl=context)
    except TimeoutError:
        raise NotReady(f"no TLS 1.3 handshake within {timeout_s:.3g} s") from None
    except OSError as error:
        raise NotReady(f"no TLS 1.3, which etcd has since 3.5.8: {error}") from error
    writer.close()


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise CertificateError(f"{path}: {error.strerror}") from error


def _certificates(path: str) -> list[Certificate]:
    from cryptography.x509 import load_pem_x509_certificates  # noqa: PLC0415 - 60 ms at start

    try:
        return load_pem_x509_certificates(_read(path))
    except ValueError as error:
        raise CertificateError(f"{path} holds no readable PEM certificate: {error}") from error


def _check_dates(path: str, certificate: Certificate) -> None:
    now = datetime.datetime.now(datetime.UTC)
    who = certificate.subject.rfc4514_string()
    if now > (end := certificate.not_valid_after_utc):
        raise CertificateError(f"{path}: the certificate of {who} expired at {end:%Y-%m-%d %H:%M}Z")
    if now < (start := certificate.not_valid_before_utc):
        raise CertificateError(f"{path}: that of {who} is not valid before {start:%Y-%m-%d %H:%M}Z")


def _check_key(tls: EtcdTls, certificate: Certificate) -> None:
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415 - 60 ms at start
        load_pem_private_key,
    )

    try:
        key = load_pem_private_key(_read(tls.key_file), password=None)
    except (ValueError, TypeError) as error:
        raise CertificateError(f"{tls.key_file} holds no usable private key: {error}") from error
    if key.public_key() != certificate.public_key():
        raise CertificateError(f"{tls.key_file} is not the key of {tls.cert_file}")
