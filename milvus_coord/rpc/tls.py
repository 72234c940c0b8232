"""TLS of the coordinators' port: of its server, and of the pair's other half as its client."""

from __future__ import annotations

import ssl
from abc import ABC, abstractmethod
from pathlib import Path


class TlsFileError(Exception):
    """A certificate, key or authority file cannot be used; the text names it."""


class _Tls(ABC):
    """A certificate with its key in an ssl context: TLS 1.2 or newer, HTTP/2 by ALPN."""

    def __init__(self, cert_file: str, key_file: str, ca_file: str | None) -> None:
        self._cert_file, self._key_file, self._ca_file = cert_file, key_file, ca_file
        self.context = self._new()

    def reload(self) -> None:
        """Read certificate and key again; connections from now on get the new ones.

        The file of authorities is read at start alone. Raises TlsFileError and keeps the old pair
        when the files do not fit together.
        """
        self._new()
        self._fill(self.context)

    def _new(self) -> ssl.SSLContext:
        """A context with what the files hold now. Raises TlsFileError."""
        context = self._empty()
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["h2"])
        self._fill(context)
        if self._ca_file:
            _trust(context, self._ca_file)
        return context

    @abstractmethod
    def _empty(self) -> ssl.SSLContext:
        """A context of this side."""

    def _fill(self, context: ssl.SSLContext) -> None:
        _must_be_readable(self._cert_file, "certificate")
        _must_be_readable(self._key_file, "private key")
        try:
            # Without a password callback OpenSSL would ask for one on the terminal.
            context.load_cert_chain(self._cert_file, self._key_file, password=_no_password)
        except (ssl.SSLError, OSError, ValueError) as error:
            raise TlsFileError(
                f"certificate {self._cert_file} and private key {self._key_file} "
                f"cannot be used together: {error}"
            ) from error

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._cert_file}>"


class ServerTls(_Tls):
    """Certificate and policy of a listening port.

    Args:
        cert_file: PEM, our certificate and the chain up to the authority.
        key_file: PEM, its private key, not encrypted.
        ca_file: PEM, the authorities that clients' certificates are checked against.
        mutual: whether a client must show a certificate; needs `ca_file`.

    Raises TlsFileError.
    """

    def __init__(
        self, cert_file: str, key_file: str, ca_file: str | None = None, *, mutual: bool = False
    ) -> None:
        if mutual and not ca_file:
            raise TlsFileError("mutual TLS needs a file of authorities to check clients against")
        self.mutual = mutual
        super().__init__(cert_file, key_file, ca_file if mutual else None)

    def _empty(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.verify_mode = ssl.CERT_REQUIRED if self.mutual else ssl.CERT_NONE
        return context


class ClientTls(_Tls):
    """What a coordinator needs to call its like, from the files that it serves with itself.

    A server is taken when its certificate comes from an authority of `ca_file`, or is one of those
    in our own `cert_file`, which both halves of a pair may share. Its name is not compared: the
    address in a session is a number. We show our own certificate to a server that asks for one.
    A certificate that was trusted before a `reload` is trusted afterwards, too.

    Args:
        cert_file: PEM, our certificate and the chain up to the authority (`ha.tls.serverPemPath`).
        key_file: PEM, its private key, not encrypted (`ha.tls.serverKeyPath`).
        ca_file: PEM, authorities (`ha.tls.caPemPath`), where there is such a file.

    Raises TlsFileError.
    """

    def __init__(self, cert_file: str, key_file: str, ca_file: str | None = None) -> None:
        super().__init__(cert_file, key_file, ca_file)

    def _empty(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return context

    def _fill(self, context: ssl.SSLContext) -> None:
        super()._fill(context)
        _trust(context, self._cert_file)


def _trust(context: ssl.SSLContext, ca_file: str) -> None:
    _must_be_readable(ca_file, "authorities")
    try:
        context.load_verify_locations(cafile=ca_file)
    except (ssl.SSLError, OSError) as error:
        raise TlsFileError(f"no usable authority in {ca_file}: {error}") from error


def _must_be_readable(path: str, what: str) -> None:
    try:
        with Path(path).open("rb") as file:
            file.read(1)
    except OSError as error:
        raise TlsFileError(f"cannot read the {what} file {path}: {error.strerror}") from error


def _no_password() -> str:
    raise ValueError("the private key is encrypted, which is not supported")
