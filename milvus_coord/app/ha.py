"""From the configuration to how a role takes part in its pair, and how it leads."""

from __future__ import annotations

from contextlib import AsyncExitStack
from ssl import SSLContext
from typing import TYPE_CHECKING

from milvus_coord import __version__
from milvus_coord.config import Settings
from milvus_coord.ha.settings import HaSettings
from milvus_coord.mq.reach import unreachable
from milvus_coord.role.lead import RoleLeader
from milvus_coord.role.requirements import Requirement, Requirements
from milvus_coord.role.shape import Coordinator, RoleContext, Shape
from milvus_coord.rpc.port import ReservedPort
from milvus_coord.rpc.server.limits import Limits
from milvus_coord.rpc.tls import ServerTls
from milvus_coord.runtime.addresses import LOOPBACK, first_ipv4
from milvus_coord.runtime.watchdog import Pulse
from milvus_coord.telemetry.log import log

if TYPE_CHECKING:
    from milvus_coord.role.servers import Servers


def ha_settings(
    shape: Shape, settings: Settings, management_port: int, tls: SSLContext | None
) -> HaSettings:
    """`management_port` is 0 when there is none, `tls` is for calling the other of the pair."""
    role = settings.role(shape.name)
    host = first_ipv4()
    if host is None and role.advertise is None:
        log.warn("no address but loopback found, advertising that", address=LOOPBACK)
    address = role.advertise or f"{host or LOOPBACK}:{role.port}"
    return HaSettings(
        role=shape.name,
        title=shape.title,
        meta_root=settings.etcd.meta_root,
        address=address,
        active_standby=role.enable_active_standby,
        session_ttl_s=settings.common.session.ttl,
        serve_lease_s=settings.ha.serve_lease_ms / 1000,
        beat_s=settings.ha.beat_interval_ms / 1000,
        challenge_s=settings.ha.challenge_timeout_ms / 1000,
        early_per_minute=settings.ha.early_replacements_per_minute,
        early_per_ten_minutes=settings.ha.early_replacements_per_ten_minutes,
        management=f"{address.rpartition(':')[0]}:{management_port}" if management_port else "",
        version=__version__,
        tls=tls,
    )


def requirements(shape: Shape, context: RoleContext, no_management: str) -> Requirements:
    """What a role needs to lead besides etcd and its port.

    `no_management` is why there is no management port, "" when there is one.
    """

    async def management() -> str:
        return no_management

    met = context.metrics.gauge(
        "milvus_coord_requirement_met", "1 while what a leader needs is there", ("requirement",)
    )
    return Requirements(
        (
            Requirement("the message queue", lambda: unreachable(context.queue)),
            Requirement("the management port", management),
            *shape.requirements(context),
        ),
        lambda name, there: met.labels(name).set(int(there)),
    )


def role_leader(
    shape: Shape,
    context: RoleContext,
    tls: ServerTls | None,
    pulse: Pulse,
    opened: AsyncExitStack,
    needs: Requirements,
) -> RoleLeader:
    """Take hold of the port now, and load the role's code later. Raises PortTaken, OSError."""
    settings = context.settings
    role = settings.role(shape.name)
    reserved = ReservedPort.bind("", role.port)
    opened.callback(reserved.close)

    def make() -> tuple[Coordinator, Servers]:
        from milvus_coord.role.servers import Servers, ServerSettings

        coordinator = shape.build(context)
        wanted = ServerSettings(
            cluster=settings.common.chan_name_prefix.cluster,
            limits=Limits(
                receive_bytes_max=role.server_max_recv_size,
                send_bytes_max=role.server_max_send_size,
            ),
            tls=tls,
            beat_s=settings.ha.beat_interval_ms / 1000,
        )
        return coordinator, Servers(coordinator, wanted, context.clock, pulse)

    finish_s = min(role.grpc_graceful_stop_timeout_s, settings.common.graceful_stop_timeout_s)
    return RoleLeader(make, context.clock, reserved=reserved, finish_s=finish_s, requirements=needs)
