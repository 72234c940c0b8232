"""The life of one coordinator process: join, stand by, lead, stand by again, until told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from milvus_coord.etcd.errors import EtcdError
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.ha.fence import Fence
from milvus_coord.ha.handover import HandOver
from milvus_coord.ha.keys import Keys
from milvus_coord.ha.lifecycle import Lifecycle
from milvus_coord.ha.record import SessionRecord
from milvus_coord.ha.serve_lease import ServeLease
from milvus_coord.ha.server_id import allocate
from milvus_coord.ha.session import InstanceTaken, Session, SessionLost
from milvus_coord.ha.sessions_watch import SessionsWatch
from milvus_coord.ha.settings import HaSettings
from milvus_coord.ha.standby import Standby, Won
from milvus_coord.ha.status import StatusBoard, publish
from milvus_coord.ha.term import Guards, Leader, Term
from milvus_coord.model.errors import CoordError
from milvus_coord.model.states import Phase
from milvus_coord.runtime.backoff import Backoff
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.patience import Patience
from milvus_coord.runtime.race import Interrupted, end, to_the_end, until
from milvus_coord.runtime.taskgroup import TaskGroup
from milvus_coord.telemetry.log import log


class _TermOver(CoordError):
    """The term ended in order, K has been given up."""


class Candidate:
    """Takes part in the election of one role. One instance per process.

    `makes_progress` gates the renewal of the session lease. Trouble in etcd, a lost lease, a lost
    K and a failed activation all lead back to standing by; only `stop` ends `run`.
    """

    def __init__(
        self,
        etcd: Etcd,
        clock: Clock,
        settings: HaSettings,
        leader: Leader,
        lifecycle: Lifecycle,
        makes_progress: Callable[[], bool],
    ) -> None:
        self._etcd, self._clock, self._settings = etcd, clock, settings
        self._leader, self._lifecycle = leader, lifecycle
        self._makes_progress = makes_progress
        self._keys = Keys(settings.meta_root, settings.role)
        self._watch = SessionsWatch(etcd, clock, self._keys)
        self._board = StatusBoard(etcd, clock, self._keys)
        self._hand_over = HandOver(etcd, self._keys, settings, self._watch)
        self._failed = Backoff(0.5, 30.0)
        self._rest_s = 0.0
        self.session: Session | None = None

    @property
    def watch(self) -> SessionsWatch:
        """What is known of the session keys, for whoever shows it."""
        return self._watch

    @property
    def address(self) -> str:
        """What clients dial when we are active."""
        return self._settings.address

    async def take_server_id(self) -> int:
        """Get this process' server id. Tries for ever."""
        patience = Patience(self._clock, "take a server id", weather=(CoordError,))
        server_id = await patience.outlast(lambda: allocate(self._etcd, self._keys))
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
        async with TaskGroup() as tasks:
            following = [tasks.create_task(self._watch.run(), name="ha.sessions")]
            if self._settings.active_standby:
                following.append(tasks.create_task(self._board.listen(), name="ha.board"))
            while not stop.is_set():
                await self._live_one_session(stop, hurry)
            await end(*following)
        self._lifecycle.to(Phase.STOPPING)

    async def _live_one_session(self, stop: asyncio.Event, hurry: asyncio.Event) -> None:
        """From one lease to its loss, or to the end."""
        try:
            session = await until(stop, self._join(), name="ha.join")
        except Interrupted:
            return
        self.session = session
        try:
            async with TaskGroup() as tasks:
                helpers = [tasks.create_task(session.keep(self._makes_progress), name="ha.lease")]
                if self._settings.active_standby:
                    say = publish(self._etcd, self._clock, self._keys, session, lambda: self.ready)
                    helpers.append(tasks.create_task(say, name="ha.status"))
                    mind = self._mind_instance_key(session)
                    helpers.append(tasks.create_task(mind, name="ha.instance_key"))
                await self._campaign(session, stop, hurry)
                await end(*helpers)
        except* SessionLost as lost:
            log.warn("session lost, registering again", error=str(_leaves(lost)[0]))
        finally:
            await session.close()

    async def _join(self) -> Session:
        """Take a lease and put the instance key under it. Tries for ever."""
        patience = Patience(
            self._clock, "register in etcd", weather=(EtcdError, InstanceTaken), cap_s=2.0
        )
        return await patience.outlast(self._register)

    async def _register(self) -> Session:
        record = SessionRecord(
            server_id=self._lifecycle.server_id,
            server_name=self._settings.role,
            address=self._settings.address,
            fenced=True,
        )
        session = await Session.open(self._etcd, self._clock, record, self._settings.session_ttl_s)
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

    async def _mind_instance_key(self, session: Session) -> None:
        """When our key vanishes see at once whether the lease has gone too; if not, put it back.

        Raises SessionLost.
        """
        key = self._keys.instance(session.record.server_id)
        changed = self._watch.changed
        patience = Patience(
            self._clock, "put the session key back", weather=(EtcdError, InstanceTaken)
        )

        def there() -> bool:
            found = self._watch.roster.instances.get(key)
            return found is not None and found.lease == session.lease

        while True:
            while not there():
                await changed.wait()
            while there():
                await changed.wait()
            await patience.outlast(session.renew)
            log.warn("our session key was deleted, putting it back", key=key.decode())
            await patience.outlast(lambda: session.register(key))

    async def _campaign(self, session: Session, stop: asyncio.Event, hurry: asyncio.Event) -> None:
        """Stand by and lead in turn until `stop`. Raises SessionLost."""
        while not stop.is_set():
            self._enter_standby()
            standby = Standby(
                self._etcd, self._clock, self._keys, self._settings, self._watch, session
            )
            try:
                await until(stop, self._clock.sleep(self._rest_s), name="ha.rest")
                self._rest_s = 0.0
                won = await until(stop, standby.win(), name="ha.standby")
            except Interrupted:
                return
            with log.context(epoch=won.epoch):
                served = await self._lead(session, won, stop, hurry)
            if served:
                self._failed.reset()
            else:
                self._rest_s = self._failed.next()

    def _enter_standby(self) -> None:
        if self._lifecycle.phase is Phase.STANDBY:
            return
        self._lifecycle.to(Phase.STANDBY)
        if self._settings.active_standby:
            log.info(f"serverName: {self._settings.role} enter STANDBY mode")

    @property
    def ready(self) -> bool:
        """Whether we would take K over at once if it were given to us."""
        standing_by = self._lifecycle.phase is Phase.STANDBY and self._rest_s == 0
        return standing_by and self._leader.ready

    async def _lead(
        self, session: Session, won: Won, stop: asyncio.Event, hurry: asyncio.Event
    ) -> bool:
        """Live through one term; whether it ever came to serve."""
        term = self._begin(session, won)
        served = in_order = False
        try:
            async with TaskGroup() as tasks:
                Guards(self._etcd, self._clock, self._keys, self._watch, session).start(term, tasks)
                await until(stop, self._leader.activate(term, tasks), name="ha.activate")
                served = True
                self._serving()
                await stop.wait()
                await self._finish(hurry)
                raise _TermOver
        except* (_TermOver, Interrupted):
            in_order = served
        except* (CoordError, OSError) as why:
            causes = "; ".join(str(cause) for cause in _leaves(why))
            log.warn(
                "stepping down" if served else f"{self._settings.title} start failed", error=causes
            )
        finally:
            self._lifecycle.fenced_off = term.fence.broken.is_set()
            self._lifecycle.to(Phase.STEPPING_DOWN)
            await to_the_end(self._leave(term, in_order=in_order), name="ha.leave")
        return served

    def _begin(self, session: Session, won: Won) -> Term:
        server_id = session.record.server_id
        log.info("register ACTIVE service successfully", ServerID=server_id)
        if self._settings.active_standby:
            log.info("quit STANDBY mode, this node will become ACTIVE")
            log.info(f"{self._settings.role} switch from standby to active, activating")
        self._lifecycle.to(Phase.ACTIVATING, epoch=won.epoch)
        return Term(
            server_id=server_id,
            epoch=won.epoch,
            fence=Fence(self._etcd, self._keys.active, session.lease, won.epoch),
            serve=ServeLease(self._clock, self._settings.serve_lease_s, won.sent_at),
            clear_at=won.clear_at,
        )

    def _serving(self) -> None:
        title = self._settings.title
        self._lifecycle.to(Phase.ACTIVE)
        log.info(f"{title} Register Finished")
        log.debug(f"{title} start done ...")
        log.debug(f"{title} successfully started")

    async def _finish(self, hurry: asyncio.Event) -> None:
        """Let running requests end, unless a second signal says not to wait."""
        try:
            await until(hurry, self._leader.finish(), name="ha.finish")
        except Interrupted:
            log.warn("told twice to stop, not waiting for running requests")
            await self._leader.abandon()

    async def _leave(self, term: Term, *, in_order: bool) -> None:
        """Give K up: to a ready standby when all work has ended in order, else to whoever comes."""
        given = False
        if in_order:
            ready = self._board.ready(besides=term.server_id)
            given = await self._hand_over.to_heir(term, ready)
        await self._leader.abandon()
        if not given:
            await self._hand_over.release(term)


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    leaves: list[BaseException] = []
    for error in group.exceptions:
        leaves += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return leaves
