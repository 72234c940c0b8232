"""How etcd is reached, checked when it is made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from milvus_coord.model.redaction import without_logins

TLS_VERSIONS: Final = ("1.0", "1.1", "1.2", "1.3")


@dataclass(frozen=True, slots=True)
class EtcdTls:
    """Files in PEM; an empty name means none, an empty `ca_file` the machine's own roots.

    `min_version` is "1.0" to "1.3"; below 1.2 gRPC does not go anyway. gRPC has no such setting in
    Python, so for 1.3 each endpoint shows by one handshake of its own that it speaks that.
    """

    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    min_version: str = "1.3"

    def __post_init__(self) -> None:
        if self.min_version not in TLS_VERSIONS:
            raise ValueError(f"etcd TLS version must be one of {TLS_VERSIONS}: {self.min_version}")
        if bool(self.cert_file) != bool(self.key_file):
            raise ValueError("etcd TLS needs a certificate and its key, or neither")


@dataclass(frozen=True, slots=True)
class EtcdSettings:
    """Endpoints and credentials of one etcd cluster.

    Attributes:
        endpoints: `host:port`, with a host name, IPv4 or [IPv6]; `http://` or `https://` in front
            is accepted. `https://` without `tls` takes the machine's own roots.
        user, password: empty user for an etcd without authentication.
        request_timeout_s: a call and all its attempts.
        attempt_timeout_s: connecting to one endpoint, and one attempt of a read.
    """

    endpoints: tuple[str, ...]
    tls: EtcdTls | None = None
    user: str = ""
    password: str = field(default="", repr=False)
    request_timeout_s: float = 30.0
    attempt_timeout_s: float = 2.0

    def __post_init__(self) -> None:
        if not self.endpoints:
            raise ValueError("etcd needs at least one endpoint")
        for endpoint in self.endpoints:
            Endpoint.parse(endpoint, self.tls)
        if self.request_timeout_s <= 0 or self.attempt_timeout_s <= 0:
            raise ValueError("etcd timeouts must be above zero")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where one member listens; `tls` is None for plain text."""

    host: str
    port: int
    tls: EtcdTls | None

    @classmethod
    def parse(cls, text: str, tls: EtcdTls | None) -> Endpoint:
        """Take an endpoint apart. Raises ValueError naming it when it is none.

        Go 2.2.16 drops TLS silently for `http://`, though it is enabled; that is refused here.
        """
        shown = without_logins(text)
        scheme, found, rest = text.strip().partition("://")
        if not found:
            scheme, rest = "", text.strip()
        if scheme not in {"", "http", "https"}:
            raise ValueError(f"etcd endpoint {shown!r}: unknown scheme {without_logins(scheme)!r}")
        if scheme == "http" and tls is not None:
            raise ValueError(f"etcd endpoint {shown!r} says http, but TLS is enabled for etcd")
        if scheme == "https" and tls is None:
            tls = EtcdTls(min_version="1.2")
        host, colon, port = rest.rstrip("/").rpartition(":")
        bare = host.removeprefix("[").removesuffix("]")
        if not colon or not bare or not port.isdecimal() or not 0 < int(port) < 65536:
            raise ValueError(f"etcd endpoint {shown!r} is not host:port")
        if ":" in bare and bare == host:
            raise ValueError(f"etcd endpoint {shown!r}: an IPv6 address needs brackets")
        return cls(bare, int(port), tls)

    @property
    def address(self) -> str:
        """`host:port`, an IPv6 host in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
