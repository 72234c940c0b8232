"""The composition root: from settings to a running role."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from milvus_coord import __version__
from milvus_coord.app.advertised import look_at_address
from milvus_coord.app.callers import Callers
from milvus_coord.app.certificates import Certificates
from milvus_coord.app.etcd import reach_etcd, stored_settings, with_advice
from milvus_coord.app.ha import ha_settings, requirements, role_leader
from milvus_coord.app.logs import log_to, reopen
from milvus_coord.app.memory import HugePages
from milvus_coord.app.phases import show_phases
from milvus_coord.app.queue import queue_settings
from milvus_coord.app.rights import check_rights
from milvus_coord.app.roles import ROLES
from milvus_coord.config import Loaded, check_start, load_stored
from milvus_coord.etcd.client.client import EtcdClient
from milvus_coord.etcd.errors import AuthFailed, EtcdError, PermissionDenied
from milvus_coord.ha.election.lifecycle import Lifecycle
from milvus_coord.ha.election.runner import HaRunner
from milvus_coord.ha.metrics import HaMetrics
from milvus_coord.ha.mirror.report import MirrorReport
from milvus_coord.ha.report import Report
from milvus_coord.mq.connect import check_client
from milvus_coord.role.lead import RoleLeader
from milvus_coord.role.shape import RoleContext
from milvus_coord.runtime import failpoints, signals
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

PROGRESS_S: Final = 1.5
"""How old the main loop's pulse may be while the session lease is still renewed."""

FINAL: Final = (AuthFailed, PermissionDenied)
"""What of etcd a person must mend, so that it is not tried again."""


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
    PermissionDenied, EtcdBinaryMissing, QueueUnusable, TlsFileError, OSError for the log folder;
    GaveUp after `etcd_timeout_s`.
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
        self._management_port, self._no_management = 0, ""
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
        callers = Callers(etcd, overlaid.settings)
        registered = Retry(self._clock, "look who is registered", on=(EtcdError,), but=FINAL)
        await run_until(request.stop, registered.run(callers.check), name="app.callers")
        settings = overlaid.settings
        queue = queue_settings(settings)
        if queue is not None:
            check_client(queue)
        lifecycle = self._report.lifecycle = Lifecycle(self._clock)
        show_phases(self._shape.name, lifecycle, self._metrics, self._notifier)
        certificates = self._certificates = Certificates(settings)
        election = ha_settings(self._shape, settings, self._management_port, certificates.client)
        context = RoleContext(
            settings,
            election.address,
            etcd,
            self._clock,
            self._metrics,
            lifecycle,
            queue,
        )
        needs = requirements(self._shape, context, self._no_management)
        leader = role_leader(
            self._shape, context, certificates.server, self._pulse, self._opened, needs
        )
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
            address = tasks.create_task(
                look_at_address(overlaid, self._shape.name, self._clock), name="app.address"
            )
            loops = (certificates.loop(), needs.loop(), HugePages().loop(), callers.loop())
            looking = [tasks.create_task(one.run(self._clock), name=one.name) for one in loops]
            await runner.run(request.stop, request.hurry)
            await cancel_and_wait(loading, address, *looking)

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
        ha, port = self._loaded.settings.ha, self._loaded.settings.metrics_port
        token = ha.management_token.get_secret_value()
        answers = routes(self._report, self._metrics, self._mirror, token=token)
        server = ManagementServer(answers)
        try:
            bound = await server.start(ha.management_address, port)
        except (OSError, ValueError) as error:  # ValueError for an address that is none
            self._no_management = str(error)
            log.warn("no management port", port=port, error=str(error))
            return
        self._opened.push_async_callback(server.close)
        self._management_port = bound
        log.info("management port listens", port=bound)

    async def _overlaid(self, etcd: EtcdClient) -> Loaded:
        """The settings with what is stored in etcd over them, once our user may do all we need.

        Raises ConfigError, AuthFailed and PermissionDenied.
        """
        settings = self._loaded.settings
        rights = Retry(self._clock, "look at our rights in etcd", on=(EtcdError,), but=FINAL)
        retry = Retry(self._clock, "read the settings in etcd", on=(EtcdError,), but=FINAL)
        try:
            await rights.run(lambda: check_rights(etcd, self._shape, settings))
            overlay = await retry.run(lambda: stored_settings(etcd, settings))
        except AuthFailed as failure:
            raise with_advice(settings, failure) from failure
        if not overlay:
            return self._loaded
        log.info("settings in etcd go before the environment and the file", keys=sorted(overlay))
        start = self._start
        loaded = load_stored(
            start.role,
            config=start.config,
            environ=start.environ,
            overlay=overlay,
            check=check_start,
        )
        for line in set(loaded.warnings) - set(self._loaded.warnings):
            log.warn(line)
        return loaded
