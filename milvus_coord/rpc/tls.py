"""TLS of the server side: certificate files to an ssl context that can take a new certificate."""

from __future__ import annotations

import ssl
from pathlib import Path


class TlsFileError(Exception):
    """A certificate, key or authority file cannot be used; the text names it."""


class ServerTls:
    """Certificate and policy of a listening port: TLS 1.2 or newer, HTTP/2 by ALPN.

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
        self._cert_file, self._key_file = cert_file, key_file
        self._ca_file = ca_file if mutual else None
        self.mutual = mutual
        self.context = self._load()

    def reload(self) -> None:
        """Read certificate and key again; connections from now on get the new ones.

        Raises TlsFileError and keeps the old pair when the files do not fit together. The
        authorities are not read again.
        """
        self._load()
        self._load_pair(self.context)

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["h2"])
        self._load_pair(context)
        if self._ca_file:
            _must_be_readable(self._ca_file, "authorities")
            try:
                context.load_verify_locations(cafile=self._ca_file)
            except (ssl.SSLError, OSError) as error:
                raise TlsFileError(f"no usable authority in {self._ca_file}: {error}") from error
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def _load_pair(self, context: ssl.SSLContext) -> None:
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
        return f"<ServerTls {self._cert_file} {'mutual' if self.mutual else 'one-way'}>"


def _must_be_readable(path: str, what: str) -> None:
    try:
        with Path(path).open("rb") as file:
            file.read(1)
    except OSError as error:
        raise TlsFileError(f"cannot read the {what} file {path}: {error.strerror}") from error


def _no_password() -> str:
    raise ValueError("the private key is encrypted, which is not supported")
