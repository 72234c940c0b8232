"""Whether others can be expected to find us at the address that the settings tell them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Final

from milvus_coord.config import Loaded
from milvus_coord.config.address import split_address
from milvus_coord.model.roles import SECTIONS
from milvus_coord.runtime.addresses import first_ipv4, resolve
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.race import within
from milvus_coord.telemetry.log import log

RESOLVE_S: Final = 5.0


async def look_at_address(loaded: Loaded, role: str, clock: Clock) -> None:
    """Warn, once, of an address that others will hardly find us at. It stays advertised."""
    settings = loaded.settings.role(role)
    if settings.advertise is None:
        return
    host, port = split_address(settings.advertise)
    wrong = [*_host(host, *await _resolved(host, clock)), *_port(role, port, settings.port)]
    if wrong:
        key = f"{SECTIONS[role]}.address"
        log.warn(
            "others may not find us at the advertised address",
            address=settings.advertise,
            setting=f"{key} ({loaded.origins[key]})",
            wrong="; ".join(wrong),
        )


async def _resolved(host: str, clock: Clock) -> tuple[tuple[str, ...], str]:
    """The addresses of the host, or why there are none."""
    try:
        return await within(RESOLVE_S, resolve(host), clock=clock, name="app.resolve"), ""
    except TimeoutError:
        return (), f"no answer within {RESOLVE_S:g} s"
    except OSError as error:
        return (), error.strerror or str(error)


def _host(host: str, found: tuple[str, ...], trouble: str) -> Iterator[str]:
    own = first_ipv4()
    if not found:
        yield f"{host} does not resolve on this machine: {trouble}"
    elif own is not None and all(ipaddress.ip_address(each).is_loopback for each in found):
        yield f"{host} means each machine itself; this one has {own}"


def _port(role: str, port: int | None, own: int) -> Iterator[str]:
    if port is not None and port != own:
        yield f"we listen on {SECTIONS[role]}.port = {own}, not on {port}, unless that is forwarded"
