"""TLS of the client side, towards the other half of a pair of coordinators."""

from __future__ import annotations

import ssl

from milvus_coord.rpc.tls import TlsFileError


def client_tls(cert_file: str, key_file: str, ca_file: str | None = None) -> ssl.SSLContext:
    """What a coordinator needs to call its like, from the files that it serves with itself.

    A server is taken when its certificate comes from an authority of `ca_file`, or is one of those
    in our own `cert_file`, which both halves of a pair may share. Its name is not compared: the
    address in a session is a number. We show our own certificate to a server that asks for one.
    TLS 1.2 or newer, HTTP/2 by ALPN.

    Args:
        cert_file: PEM, our certificate and the chain up to the authority (`tls.serverPemPath`).
        key_file: PEM, its private key, not encrypted (`tls.serverKeyPath`).
        ca_file: PEM, authorities (`tls.caPemPath`), where there is such a file.

    Raises TlsFileError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    read_files(context, cert_file, key_file, ca_file)
    return context


def read_files(
    context: ssl.SSLContext, cert_file: str, key_file: str, ca_file: str | None = None
) -> None:
    """Read them into a context of `client_tls`; connections from now on use what they hold.

    Servers with a certificate that was trusted before are taken as well. Raises TlsFileError.
    """
    try:
        context.load_cert_chain(cert_file, key_file, password=_no_password)
        for file in (cert_file, ca_file):
            if file:
                context.load_verify_locations(cafile=file)
    except (ssl.SSLError, OSError, ValueError) as error:
        files = ", ".join(file for file in (cert_file, key_file, ca_file) if file)
        raise TlsFileError(f"cannot call other coordinators with {files}: {error}") from error


def _no_password() -> str:
    raise ValueError("the private key is encrypted, which is not supported")
