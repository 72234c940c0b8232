"""Network addresses as text: `host`, `host:port`, `[ipv6]:port`."""

from __future__ import annotations

import ipaddress
import re

# Underscores are no part of DNS, but container networks resolve service names that have them.
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252}[A-Za-z0-9_])?")
_PORT = re.compile(r"[0-9]{1,5}")


def split_address(text: str) -> tuple[str, int | None]:
    """Split into host (IPv6 without its brackets) and port, None when there is none.

    Raises ValueError for anything else: no host, a bad port, an IPv6 address without brackets.
    """
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError(text)
        ipaddress.IPv6Address(host)
        return host, _port(rest[1:]) if rest else None
    host, colon, port = text.partition(":")
    if not _HOST.fullmatch(host):
        raise ValueError(text)
    return host, _port(port) if colon else None


def join_address(host: str, port: int) -> str:
    """`host:port`, with brackets around an IPv6 host."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_wildcard(host: str) -> bool:
    """Whether `host` means every interface, which nobody can connect to."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _port(text: str) -> int:
    if not _PORT.fullmatch(text) or not 1 <= int(text) <= 65535:
        raise ValueError(text)
    return int(text)
