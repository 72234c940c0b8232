"""A TCP port that is held long before it is served."""

from __future__ import annotations

import errno
import socket
from types import TracebackType
from typing import Any, Final, Self

from milvus_coord.model.errors import CoordError
from milvus_coord.rpc.port_holder import find_holder

_EVERY_INTERFACE: Final = ("::", "0.0.0.0")
_NO_IPV6: Final = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EINVAL})


class PortTaken(CoordError):
    """Another socket is on the port; `reason` says whose, when that can be found out."""

    def __init__(self, port: int, reason: str) -> None:
        super().__init__(f"port {port} is taken: {reason}")
        self.port, self.reason = port, reason


class ReservedPort:
    """A bound TCP socket that does not listen: connecting is refused, other servers cannot bind.

    SO_REUSEADDR is set, so that connections of a predecessor in TIME_WAIT do not stand in the
    way. On Linux two such reservations of one port therefore do not see each other; the
    one that listens second is told so by `listen`.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket: socket.socket | None = sock
        self._host, self._port = sock.getsockname()[:2]

    @classmethod
    def bind(cls, host: str, port: int) -> Self:
        """Reserve `port` (0: any free one) on `host`; "" means every interface, IPv6 and IPv4.

        Where IPv6 is off, "" means every interface of IPv4. A name is resolved in place.
        Raises PortTaken when somebody listens there, OSError for an address that is not ours.
        """
        try:
            return cls(_bind_all(port) if not host else _bind_one(host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortTaken(port, _holder(port)) from error
            raise OSError(
                error.errno, f"cannot bind {host or '*'}:{port}: {error.strerror}"
            ) from error

    @property
    def address(self) -> tuple[str, int]:
        """Host and port as bound; stays known after `take` and `close`."""
        return self._host, self._port

    def check(self) -> None:
        """Raises PortTaken when somebody has come to listen on the port all the same."""
        host = "" if self._host in _EVERY_INTERFACE else self._host
        type(self).bind(host, self._port).close()

    def listen(self, backlog: int) -> None:
        """From here on connections are accepted by the kernel, and wait for a server.

        Raises PortTaken when another reservation of the port came first; this one then stands
        as before, and `listen` may be tried again.
        """
        try:
            self._require().listen(backlog)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortTaken(self._port, _holder(self._port)) from error
            raise

    def take(self) -> socket.socket:
        """Hand the socket over; its new owner closes it."""
        sock = self._require()
        self._socket = None
        return sock

    def close(self) -> None:
        """Give the port up, unless it was taken; may be repeated."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _require(self) -> socket.socket:
        if self._socket is None:
            raise RuntimeError(f"the reservation of port {self._port} was taken or closed")
        return self._socket

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "handed over or closed" if self._socket is None else "held"
        return f"<ReservedPort {self._host}:{self._port} {state}>"


def _bind_all(port: int) -> socket.socket:
    if socket.has_ipv6:
        try:
            return _bound(socket.AF_INET6, ("::", port))
        except OSError as error:
            if error.errno not in _NO_IPV6:
                raise
    return _bound(socket.AF_INET, ("0.0.0.0", port))


def _bind_one(host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
        )
    except socket.gaierror as error:
        raise OSError(errno.EADDRNOTAVAIL, f"unknown host ({error.strerror})") from error
    # A name may stand for ::1 and 127.0.0.1 at once; clients are given IPv4 addresses.
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    family, _, _, _, address = found[0]
    return _bound(family, address)


def _bound(family: socket.AddressFamily, address: Any) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            both = address[0] == "::"
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not both)
        sock.bind(address)
    except BaseException:
        sock.close()
        raise
    return sock


def _holder(port: int) -> str:
    holder = find_holder(port)
    if holder is None:
        return "held by a process that /proc does not show (another user's or namespace's)"
    return f"held by {holder}"
