"""The life of one coordinator process: join, stand by, lead, stand by again, until told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from milvus_coord.etcd.errors import EtcdError
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.ha.election.context import HaContext
from milvus_coord.ha.election.leading import Leading
from milvus_coord.ha.election.lifecycle import Lifecycle
from milvus_coord.ha.election.server_id import allocate
from milvus_coord.ha.election.session import (
    InstanceTaken,
    Session,
    SessionLost,
    StoreReplaced,
)
from milvus_coord.ha.election.status_publisher import StatusPublisher
from milvus_coord.ha.election.term import Leader
from milvus_coord.ha.metrics import HaMetrics
from milvus_coord.ha.pair.keys import Keys
from milvus_coord.ha.pair.pair_state import PairState
from milvus_coord.ha.pair.session_record import SessionRecord
from milvus_coord.ha.settings import HaSettings
from milvus_coord.model.errors import CoordError
from milvus_coord.model.states import Phase
from milvus_coord.runtime.backoff import Backoff
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.loop import Loop
from milvus_coord.runtime.processes import ProcessIdentity
from milvus_coord.runtime.race import Interrupted, cancel_and_wait, run_until
from milvus_coord.runtime.retry import Retry
from milvus_coord.runtime.taskgroup import TaskGroup, leaves
from milvus_coord.telemetry.log import log

_LOOK_EVERY_S: Final = 10.0


class HaRunner:
    """Takes part in the election of one role. One instance per process.

    `makes_progress` gates the renewal of the session lease; `loop_lag_s` is the longest stall of
    the main loop of late, in seconds. Trouble in etcd, a lost lease, a lost active key and a failed
    activation all lead back to standing by; only `stop` ends `run`.
    """

    def __init__(
        self,
        etcd: Etcd,
        clock: Clock,
        settings: HaSettings,
        leader: Leader,
        lifecycle: Lifecycle,
        makes_progress: Callable[[], bool],
        loop_lag_s: Callable[[], float],
        metrics: HaMetrics,
    ) -> None:
        self._etcd, self._clock, self._settings = etcd, clock, settings
        self._leader, self._lifecycle = leader, lifecycle
        self._makes_progress = makes_progress
        self._keys = Keys(settings.meta_root, settings.role)
        self._pair = PairState(etcd, clock, self._keys)
        self._failed = Backoff(0.5, 30.0)
        self.session: Session | None = None
        self.publisher = StatusPublisher(
            etcd, clock, self._keys, settings, lifecycle, leader, metrics, loop_lag_s
        )
        self._metrics = metrics
        self._context = HaContext(
            etcd=etcd,
            clock=clock,
            keys=self._keys,
            settings=settings,
            pair=self._pair,
            publisher=self.publisher,
            leader=leader,
            metrics=metrics,
        )

    @property
    def pair(self) -> PairState:
        """What is known of the pair."""
        return self._pair

    @property
    def address(self) -> str:
        """What clients dial when we are active."""
        return self._settings.address

    async def take_server_id(self) -> int:
        """Get this process' server id. Tries for ever."""
        retry = Retry(self._clock, "take a server id", on=(CoordError,))
        server_id = await retry.run(lambda: allocate(self._etcd, self._keys))
        self._lifecycle.server_id = server_id
        return server_id

    async def run(self, stop: asyncio.Event, hurry: asyncio.Event) -> None:
        """Take part until `stop` is set; `hurry` cuts the wait for work that is running."""
        title, role = self._settings.title, self._settings.role
        if self._settings.active_standby:
            log.info(f"{title} enter standby mode successfully")
        log.info(
            "service begin to register to etcd",
            serverName=role,
            ServerID=self._lifecycle.server_id,
        )
        looking = Loop("ha.endpoints", _LOOK_EVERY_S, self._look_at_endpoints, on=(EtcdError,))
        async with TaskGroup() as tasks:
            helpers = [
                tasks.create_task(self._pair.follow(), name="ha.pair"),
                tasks.create_task(looking.run(self._clock), name="ha.endpoints"),
            ]
            while not stop.is_set():
                await self._live_one_session(stop, hurry)
            await cancel_and_wait(*helpers)
        self._lifecycle.to(Phase.STOPPING)

    async def _live_one_session(self, stop: asyncio.Event, hurry: asyncio.Event) -> None:
        """From one lease to its loss, or to the end."""
        version = self._etcd.replaced.version()
        try:
            session = await run_until(stop, self._join(), name="ha.join")
        except Interrupted:
            return
        self.session = session
        try:
            async with TaskGroup() as tasks:
                helpers = [
                    tasks.create_task(session.keep(self._makes_progress), name="ha.lease"),
                    tasks.create_task(self._mind_store(version), name="ha.store"),
                ]
                if self._settings.active_standby:
                    say = self.publisher.publish(session)
                    helpers.append(tasks.create_task(say, name="ha.status"))
                    mind = self._mind_instance_key(session)
                    helpers.append(tasks.create_task(mind, name="ha.instance_key"))
                await self._campaign(session, stop, hurry)
                await cancel_and_wait(*helpers)
        except* SessionLost as lost:
            log.warn("session lost, registering again", error=str(leaves(lost)[0]))
        except* StoreReplaced:
            log.warn("etcd was replaced, registering again")
            # Who leads by what the etcd before said answers no longer than this.
            self._rest(self._settings.serve_lease_s, "etcd was replaced")
        finally:
            await session.close()

    async def _join(self) -> Session:
        """Take a lease and put the instance key under it. Tries for ever."""
        retry = Retry(self._clock, "register in etcd", on=(EtcdError, InstanceTaken), cap_s=2.0)
        return await retry.run(self._register)

    async def _register(self) -> Session:
        record = SessionRecord(
            server_id=self._lifecycle.server_id,
            server_name=self._settings.role,
            address=self._settings.address,
            fenced=True,
            process=ProcessIdentity.mine(),
        )
        session = await Session.open(
            self._etcd, self._clock, record, self._settings.session_ttl_s, self._metrics.renewed
        )
        if self._settings.active_standby:
            try:
                await session.register(self._keys.instance(record.server_id))
            except BaseException as error:
                await session.close()
                if isinstance(error, InstanceTaken):  # the counter went back: the id is another's
                    await self.take_server_id()
                raise
            log.info(
                "Service registered successfully",
                ServerName=record.server_name,
                serverID=record.server_id,
            )
        return session

    async def _mind_store(self, version: int) -> None:
        """End the session, and the term with it, when its etcd is replaced. Raises StoreReplaced.

        Also when that has happened since `version`.
        """
        await self._etcd.replaced.wait(since=version)
        raise StoreReplaced("etcd was replaced")

    async def _look_at_endpoints(self) -> None:
        """Have the client say which endpoints belong to another cluster."""
        await self._etcd.status()

    async def _mind_instance_key(self, session: Session) -> None:
        """When our key vanishes see at once whether the lease has gone too; if not, put it back.

        Raises SessionLost.
        """
        key = self._keys.instance(session.record.server_id)
        changed = self._pair.changed
        retry = Retry(self._clock, "put the session key back", on=(EtcdError, InstanceTaken))

        def there() -> bool:
            found = self._pair.snapshot.sessions.get(session.record.server_id)
            return found is not None and found.kv.lease == session.lease

        while True:
            while not there():
                await changed.wait()
            while there():
                await changed.wait()
            await retry.run(session.renew)
            log.warn("our session key was deleted, putting it back", key=key.decode())
            await retry.run(lambda: session.register(key))

    async def _campaign(self, session: Session, stop: asyncio.Event, hurry: asyncio.Event) -> None:
        """Stand by and lead in turn until `stop`. Raises SessionLost."""
        while not stop.is_set():
            self._enter_standby()
            try:
                await run_until(stop, self._clock.sleep(self.publisher.rest_s), name="ha.rest")
                self.publisher.rest_s = 0.0
                served = await Leading(self._context, self._lifecycle, session).run(stop, hurry)
            except Interrupted:
                return
            if served:
                self._failed.reset()
            else:
                self._rest(self._failed.next(), "a failed activation")

    def _rest(self, seconds: float, why: str) -> None:
        self.publisher.rest_s, self.publisher.rest_why = seconds, why

    def _enter_standby(self) -> None:
        if self._lifecycle.phase is Phase.STANDBY:
            return
        self._lifecycle.to(Phase.STANDBY)
        if self._settings.active_standby:
            log.info(f"serverName: {self._settings.role} enter STANDBY mode")

    @property
    def ready(self) -> bool:
        """Whether we would take the active key over at once if it were given to us."""
        return self.publisher.ready
