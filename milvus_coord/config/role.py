"""What all coordinators' sections have in common, `grpc.*`, and what a role gets out of both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from milvus_coord.config.address import join_address, split_address
from milvus_coord.config.fallback import Fallback, always, anything, below, no_whole
from milvus_coord.config.kinds import Advertise, Flag, Whole
from milvus_coord.config.section import Only, Section

Port = Annotated[int, Whole(1, 65535)]
MessageSize = Whole(1, 2**31 - 1, unit="bytes")
_SIZE = Fallback(no_whole, always(str(512 << 20)))
NOT_FROM_FILE = Only(
    frozenset({"environment", "etcd"}),
    "Milvus ships localhost there and never reads it; set it by environment or etcd",
    quiet=True,
)


class Grpc(Section):
    """`grpc.*`: for every role that does not say otherwise."""

    server_max_recv_size: Annotated[int, MessageSize, Fallback(no_whole)] = 512 << 20
    server_max_send_size: Annotated[int, MessageSize, Fallback(no_whole)] = 512 << 20


class RoleGrpc(Section):
    """`<role>.grpc.*`; a size that is not set here is that of `grpc.*`."""

    graceful_stop_timeout_s: Annotated[
        int, Whole(0, unit="s"), Fallback(no_whole), Fallback(below(0), always("0"))
    ] = Field(default=30, alias="gracefulStopTimeout")
    server_max_recv_size: Annotated[int | None, MessageSize, _SIZE] = None
    server_max_send_size: Annotated[int | None, MessageSize, _SIZE] = None


class Coordinator(Section):
    """What all four coordinators' sections have in common."""

    #: Whether the role cannot start without a message queue.
    needs_queue: ClassVar[bool] = False

    # Go takes 19530 for every role whose port is not in the file; here it is the shipped port.
    port: Port
    enable_active_standby: Annotated[bool, Flag()] = False
    address: Annotated[str | None, Advertise(), NOT_FROM_FILE, Fallback(anything)] = None
    grpc: RoleGrpc = RoleGrpc()


@dataclass(frozen=True, slots=True)
class RoleSettings:
    """One role's settings, `<role>.grpc.*` and `grpc.*` already merged.

    `advertise` is the `host:port` for the session; None: the host is to be detected.
    """

    name: str
    port: int
    enable_active_standby: bool
    advertise: str | None
    grpc_graceful_stop_timeout_s: int
    server_max_recv_size: int
    server_max_send_size: int


def role_settings(name: str, section: Coordinator, shared: Grpc) -> RoleSettings:
    """Merge a role's section with what all roles share."""
    advertise = None
    if section.address is not None:
        host, port = split_address(section.address)
        advertise = join_address(host, port or section.port)
    return RoleSettings(
        name=name,
        port=section.port,
        enable_active_standby=section.enable_active_standby,
        advertise=advertise,
        grpc_graceful_stop_timeout_s=section.grpc.graceful_stop_timeout_s,
        server_max_recv_size=section.grpc.server_max_recv_size or shared.server_max_recv_size,
        server_max_send_size=section.grpc.server_max_send_size or shared.server_max_send_size,
    )
