"""The four coordinators' sections, `grpc.*`, and what a role gets out of both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from milvus_coord.config.address import join_address, split_address
from milvus_coord.config.kinds import Advertise, Flag, Real, Whole, Word
from milvus_coord.config.section import Only, Section

Port = Annotated[int, Whole(1, 65535)]
MessageSize = Whole(1, 2**31 - 1, unit="bytes")
NOT_FROM_FILE = Only(
    frozenset({"environment", "etcd"}),
    "Milvus ships localhost there and never reads it; set it by environment or etcd",
    quiet=True,
)


class Grpc(Section):
    """`grpc.*`: for every role that does not say otherwise."""

    server_max_recv_size: Annotated[int, MessageSize] = 512 << 20
    server_max_send_size: Annotated[int, MessageSize] = 512 << 20


class RoleGrpc(Section):
    """`<role>.grpc.*`; a size that is not set here is that of `grpc.*`."""

    graceful_stop_timeout_s: Annotated[int, Whole(0, unit="s")] = Field(
        default=30, alias="gracefulStopTimeout"
    )
    server_max_recv_size: Annotated[int | None, MessageSize] = None
    server_max_send_size: Annotated[int | None, MessageSize] = None


class Coordinator(Section):
    """What all four coordinators' sections have in common."""

    # Go takes 19530 for every role whose port is not in the file; here it is the shipped port.
    port: Port
    enable_active_standby: Annotated[bool, Flag()] = False
    address: Annotated[str | None, Advertise(), NOT_FROM_FILE] = None
    grpc: RoleGrpc = RoleGrpc()


class RootCoord(Coordinator):
    """`rootCoord.*`."""

    port: Port = 53100
    # Go takes 256 where the key is not in the file; here it is the shipped value.
    dml_channel_num: Annotated[int, Whole(1, 65536)] = 16
    max_database_num: Annotated[int, Whole(0)] = 64
    max_partition_num: Annotated[int, Whole(1)] = 4096
    min_segment_size_to_enable_index: Annotated[int, Whole(0)] = 1024
    import_task_expiration_s: Annotated[float, Real(above=0, high=1e9, unit="s")] = Field(
        default=900.0, alias="importTaskExpiration"
    )
    import_task_retention_s: Annotated[float, Real(above=0, high=1e9, unit="s")] = Field(
        default=86400.0, alias="importTaskRetention"
    )
    import_max_pending_task_count: Annotated[int, Whole(0)] = 65536
    import_task_sub_path: Annotated[str, Word()] = "importtask"


class Proxy(Section):
    """`proxy.*`: what of the proxies' section RootCoord enforces or keeps pace with."""

    time_tick_interval_ms: Annotated[int, Whole(10, 60_000, unit="ms")] = Field(
        default=200, alias="timeTickInterval"
    )
    # Go takes 64 where the key is not in the file; here it is the shipped value.
    max_shard_num: Annotated[int, Whole(1)] = 16
    max_user_num: Annotated[int, Whole(1)] = 100
    max_role_num: Annotated[int, Whole(1)] = 10


class AutoIndex(Section):
    """`autoIndex.*`: with it, no binary vector can be made."""

    enable: Annotated[bool, Flag()] = False


class DataCoord(Coordinator):
    """`dataCoord.*`."""

    port: Port = 13333


class QueryCoord(Coordinator):
    """`queryCoord.*`."""

    port: Port = 19531


class IndexCoord(Coordinator):
    """`indexCoord.*`."""

    port: Port = 31000


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
