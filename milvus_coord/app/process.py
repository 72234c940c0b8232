"""The composition root: from settings to a running role."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from ssl import SSLContext
from typing import TYPE_CHECKING, Final

from milvus_coord import __version__
from milvus_coord.app.certificates import Certificates
from milvus_coord.app.etcd import reach_etcd, stored_settings
from milvus_coord.app.logs import log_to, reopen
from milvus_coord.app.queue import queue_settings
from milvus_coord.app.roles import ROLES
from milvus_coord.config import Loaded, Settings, check_start, load
from milvus_coord.etcd.client.client import EtcdClient
from milvus_coord.etcd.errors import EtcdError
from milvus_coord.ha.election.lifecycle import Lifecycle
from milvus_coord.ha.election.runner import HaRunner
from milvus_coord.ha.metrics import HaMetrics
from milvus_coord.ha.mirror.report import MirrorReport
from milvus_coord.ha.pair.report import Report
from milvus_coord.ha.settings import HaSettings
from milvus_coord.model.states import Phase
from milvus_coord.role.lead import RoleLeader
from milvus_coord.role.shape import Coordinator, RoleContext, Shape
from milvus_coord.rpc.port import ReservedPort
from milvus_coord.rpc.server.limits import Limits
from milvus_coord.rpc.tls import ServerTls
from milvus_coord.runtime import failpoints, signals
from milvus_coord.runtime.addresses import LOOPBACK, first_ipv4
from milvus_coord.runtime.clock import SystemClock
from milvus_coord.runtime.notify import Notifier
from milvus_coord.runtime.race import Interrupted, cancel_and_wait, run_until
from milvus_coord.runtime.retry import Retry
from milvus_coord.runtime.taskgroup import TaskGroup
from milvus_coord.runtime.watchdog import Pulse, run_pulse, watch_progress
from milvus_coord.telemetry.endpoints import routes
from milvus_coord.telemetry.log import log
from milvus_coord.telemetry.management import ManagementServer
from milvus_coord.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from milvus_coord.role.servers import Servers


PROGRESS_S: Final = 1.5
"""How old the main loop's pulse may be while the session lease is still renewed."""


@dataclass(frozen=True, slots=True)
class Start:
    """What the command line says about one process.

    `etcd_timeout_s` is how long to wait for an etcd that does not answer at start, None for ever.
    """

    role: str
    config: Path | None
    environ: Mapping[str, str]
    etcd_timeout_s: float | None = None


async def run(start: Start, loaded: Loaded) -> None:
    """Run one role until a signal stops it.

    Raises what a person must mend: ConfigError, PortTaken, AuthFailed, CertificateError,
    EtcdBinaryMissing, QueueUnusable, TlsFileError, OSError for the log folder; GaveUp after
    `etcd_timeout_s`.
    """
    request = signals.StopRequest()
    clock = SystemClock()
    pulse = Pulse(clock)
    notifier = Notifier.from_environ(start.environ)
    opened = AsyncExitStack()
    process = _Process(start, loaded, clock, pulse, notifier, opened)
    signals.handle(request, process.reload)
    log_to(loaded.settings, start.role, server_id=None)
    config = str(loaded.file or "built-in defaults")
    log.info(f"milvus-coord {__version__} starts", role=start.role, config=config)
    failpoints.check()
    for line in loaded.warnings:
        log.warn(line)
    async with TaskGroup() as tasks:
        beating = tasks.create_task(run_pulse(pulse), name="app.pulse")
        fed = tasks.create_task(watch_progress(notifier, pulse), name="app.watchdog")
        async with opened:
            try:
                await process.run(request)
            except Interrupted:
                log.info("stopped before etcd was reached")
            notifier.stopping()
        await cancel_and_wait(beating, fed)
    log.info("Milvus components graceful stop done")


class _Process:
    """The parts of one process, made in the order in which they depend on each other."""

    def __init__(
        self,
        start: Start,
        loaded: Loaded,
        clock: SystemClock,
        pulse: Pulse,
        notifier: Notifier,
        opened: AsyncExitStack,
    ) -> None:
        self._start, self._loaded = start, loaded
        self._clock, self._pulse, self._notifier, self._opened = clock, pulse, notifier, opened
        self._shape = ROLES[start.role]
        self._metrics = Metrics()
        self._report = Report(start.role, clock, pulse)
        self._mirror = MirrorReport(start.role)
        self._management_port = 0
        self._certificates: Certificates | None = None

    async def run(self, request: signals.StopRequest) -> None:
        await self._manage()
        reach = reach_etcd(
            self._loaded.settings,
            self._clock,
            self._opened,
            give_up_after_s=self._start.etcd_timeout_s,
        )
        etcd = await run_until(request.stop, reach, name="app.connect")
        overlaid = await run_until(request.stop, self._overlaid(etcd), name="app.overlay")
        check_start(overlaid)
        settings = overlaid.settings
        lifecycle = Lifecycle(self._clock)
        self._watch(lifecycle)
        certificates = self._certificates = Certificates(settings)
        election = _ha(self._shape, settings, self._management_port, certificates.client)
        leader = self._leader(settings, election.address, etcd, lifecycle, certificates.server)
        runner = HaRunner(
            etcd,
            self._clock,
            election,
            leader,
            lifecycle,
            lambda: self._pulse.age_s() < PROGRESS_S,
            lambda: max(self._pulse.worst_lag_s, self._pulse.age_s()),
            HaMetrics(self._metrics),
        )
        self._report.runner = runner
        server_id = await run_until(request.stop, runner.take_server_id(), name="app.server_id")
        log_to(settings, self._shape.name, server_id=server_id)
        async with TaskGroup() as tasks:
            loading = tasks.create_task(self._load(leader, lifecycle), name="app.load_role")
            looking = tasks.create_task(
                certificates.loop().run(self._clock), name="app.certificates"
            )
            await runner.run(request.stop, request.hurry)
            await cancel_and_wait(loading, looking)

    def reload(self) -> None:
        """SIGHUP: open the log file anew, read the certificate again."""
        self._notifier.reloading()
        reopen()
        if self._certificates is not None:
            self._certificates.reload()
        log.info("reloaded on SIGHUP: log file reopened")
        self._notifier.ready()

    async def _load(self, leader: RoleLeader, lifecycle: Lifecycle) -> None:
        """Load the role's code as soon as the process stands by, then follow etcd for ever."""
        standing_by = asyncio.Event()
        lifecycle.observe(lambda _: standing_by.set())
        await standing_by.wait()
        await leader.load()
        gc.freeze()  # classes and modules live as long as we do: never look through them again
        if leader.mirror is not None:
            self._mirror.has(leader.mirror)
        await leader.follow()

    async def _manage(self) -> None:
        """Open the management port; as in Go, a process lives without it."""
        server = ManagementServer(routes(self._report, self._metrics, self._mirror))
        port = self._loaded.settings.metrics_port
        try:
            bound = await server.start("", port)
        except OSError as error:
            log.warn("no management port", port=port, error=str(error))
            return
        self._opened.push_async_callback(server.close)
        self._management_port = bound
        log.info("management port listens", port=bound)

    async def _overlaid(self, etcd: EtcdClient) -> Loaded:
        """The settings with what is stored in etcd over them. Raises ConfigError."""
        retry = Retry(self._clock, "read the settings in etcd", on=(EtcdError,))
        overlay = await retry.run(lambda: stored_settings(etcd, self._loaded.settings))
        if not overlay:
            return self._loaded
        log.info("settings in etcd go before the environment and the file", keys=sorted(overlay))
        start = self._start
        loaded = load(start.role, config=start.config, environ=start.environ, overlay=overlay)
        for line in set(loaded.warnings) - set(self._loaded.warnings):
            log.warn(line)
        return loaded

    def _leader(
        self,
        settings: Settings,
        address: str,
        etcd: EtcdClient,
        lifecycle: Lifecycle,
        tls: ServerTls | None,
    ) -> RoleLeader:
        """Take hold of the port now, and load the role's code later. Raises PortTaken, OSError."""
        role = settings.role(self._shape.name)
        reserved = ReservedPort.bind("", role.port)
        self._opened.callback(reserved.close)
        context = RoleContext(
            settings,
            address,
            etcd,
            self._clock,
            self._metrics,
            lifecycle,
            queue_settings(settings),
        )

        def make() -> tuple[Coordinator, Servers]:
            from milvus_coord.role.servers import Servers, ServerSettings

            coordinator = self._shape.build(context)
            wanted = ServerSettings(
                cluster=settings.common.chan_name_prefix.cluster,
                limits=Limits(
                    receive_bytes_max=role.server_max_recv_size,
                    send_bytes_max=role.server_max_send_size,
                ),
                tls=tls,
                beat_s=settings.ha.beat_interval_ms / 1000,
            )
            return coordinator, Servers(coordinator, wanted, self._clock, self._pulse)

        finish_s = min(role.grpc_graceful_stop_timeout_s, settings.common.graceful_stop_timeout_s)
        return RoleLeader(make, self._clock, reserved=reserved, finish_s=finish_s)

    def _watch(self, lifecycle: Lifecycle) -> None:
        """Let metrics and the service manager know each phase."""
        self._report.lifecycle = lifecycle
        active = self._metrics.gauge(
            "milvus_num_node", "active coordinators", ("node_id", "role_name")
        )
        epoch = self._metrics.gauge("milvus_coord_epoch", "epoch of our term, 0 when not leading")
        terms = self._metrics.counter("milvus_coord_term_count", "terms that came to serve")
        refused = self._metrics.counter(
            "milvus_coord_fenced_off_count", "terms that ended by a refused write"
        )

        def on(phase: Phase) -> None:
            labels = (str(lifecycle.server_id), self._shape.name)
            epoch.set(lifecycle.epoch)
            self._notifier.status(f"{phase.value}, server id {lifecycle.server_id}")
            if phase is Phase.ACTIVE:
                active.labels(*labels).set(1)
                terms.inc()
            elif phase is Phase.STEPPING_DOWN:
                active.remove(*labels)
                refused.inc(lifecycle.fenced_off)
            elif phase is Phase.STANDBY:
                self._notifier.ready()

        lifecycle.observe(on)


def _ha(
    shape: Shape, settings: Settings, management_port: int, tls: SSLContext | None
) -> HaSettings:
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
