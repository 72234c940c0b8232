"""`milvus status [ROLE]`: who leads, who stands by, how fit each of them is."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from milvus_coord.cli.connection import CONNECT_S, Connection
from milvus_coord.cli.format import local_time
from milvus_coord.cli.ha_status_show import (
    RoleSeen,
    as_table,
    essence,
    exit_code,
    facts_of,
    see,
)
from milvus_coord.cli.output import rendered
from milvus_coord.etcd.errors import EtcdError
from milvus_coord.ha.pair.role_follower import RoleFollower
from milvus_coord.runtime.loop import Loop
from milvus_coord.runtime.race import Interrupted, cancel_and_wait, run_until
from milvus_coord.runtime.say_once import SayOnce
from milvus_coord.runtime.taskgroup import TaskGroup

_REDRAW_S: Final = 1.0
_SILENT_S: Final = 2.5
_CALM_S: Final = 0.1
"""Changes of one moment are shown together."""


async def status(
    connection: Connection, roles: Sequence[str], *, all_roles: bool, output: str, watch: bool
) -> int:
    """Print the status of `roles`; with `all_roles` only those that have a key. The exit code.

    With `watch` print it again at each change, until Ctrl-C: the exit code is 0 then.
    """
    follower = RoleFollower(connection.etcd, connection.clock, connection.meta_root, tuple(roles))
    page = _Page(connection, follower, tuple(roles), all_roles, output, watch)
    async with TaskGroup() as tasks:
        following = tasks.create_task(follower.run(), name="status.look")
        await follower.listed(CONNECT_S)
        if watch:
            await page.keep()
            code = 0
        else:
            await follower.statuses_fresh()
            seen = await page.see()
            page.show(seen)
            code = exit_code(seen)
        await cancel_and_wait(following)
    return code


class _Page:
    """What is printed, once or again and again."""

    def __init__(
        self,
        connection: Connection,
        follower: RoleFollower,
        roles: tuple[str, ...],
        all_roles: bool,
        output: str,
        watch: bool,
    ) -> None:
        self._connection, self._follower = connection, follower
        self._roles, self._all_roles = roles, all_roles
        self._output, self._watch = output, watch
        self._said = SayOnce[object](None)
        self._answered_s = connection.clock.boottime()

    async def see(self) -> list[RoleSeen]:
        """The picture now; asks etcd how long the leases of Go's instances have left."""
        seen = [await see(self._connection.etcd, self._follower, role) for role in self._roles]
        return [one for one in seen if one.snapshot.exists or not self._all_roles]

    def show(self, seen: list[RoleSeen]) -> None:
        """Print it as asked for; a table is in colour on a terminal, and plain in a pipe."""
        root, now_ms = self._connection.meta_root, self._now_ms()
        if self._on_screen and any(one.snapshot.exists for one in seen):
            from milvus_coord.cli.ha_status_screen import Screen

            Screen(root).show(seen, now_ms)
        else:
            text = as_table(seen, root, now_ms)
            facts = facts_of(seen, root)
            print(rendered(facts, self._output, text, stream=self._watch), end="", flush=True)

    @property
    def _on_screen(self) -> bool:
        return sys.stdout.isatty() and self._output == "table"

    def _now_ms(self) -> int:
        return self._connection.clock.wall_ns() // 1_000_000

    async def keep(self) -> None:
        """Show changes until Ctrl-C: redrawn in place on a terminal, else what has changed."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        asking = Loop("status.ask", _REDRAW_S, self._ask, on=(EtcdError,), retry_cap_s=_REDRAW_S)
        async with TaskGroup() as tasks:
            asked = tasks.create_task(asking.run(self._connection.clock), name="status.ask")
            with suppress(Interrupted):
                await run_until(stop, self._keep(), name="status.watch")
            await cancel_and_wait(asked)

    async def _ask(self) -> None:
        """A watch says nothing when etcd is gone."""
        key = self._connection.keys(self._roles[0]).active
        await self._connection.etcd.get(key, timeout_s=_REDRAW_S)
        self._answered_s = self._connection.clock.boottime()

    def _trouble(self) -> str:
        """That etcd is silent; "" while it answers."""
        silent_s = self._connection.clock.boottime() - self._answered_s
        if silent_s < _SILENT_S:
            return ""
        return f"etcd has not answered for {silent_s:.0f} s: what is shown is older than that"

    async def _keep(self) -> None:
        if self._on_screen:
            from milvus_coord.cli.ha_status_screen import Screen

            screen = Screen(self._connection.meta_root)
            with screen.live() as live:
                await self._follow(
                    lambda seen: screen.draw(live, seen, self._now_ms(), self._trouble())
                )
        else:
            await self._follow(self._show_news)

    def _show_news(self, seen: list[RoleSeen]) -> None:
        trouble = self._trouble()
        if self._said.is_news((essence(seen), bool(trouble))):
            if self._output == "table":
                print(f"--- {local_time(self._now_ms())}" + (f"  {trouble}" if trouble else ""))
            self.show(seen)

    async def _follow(self, show: Callable[[list[RoleSeen]], None]) -> None:
        """Show each change, and the ages at least once a second."""
        while True:
            mark = self._follower.changed.version()
            with suppress(EtcdError):  # the leases of Go's instances are asked for
                show(await self.see())
            await self._follower.change(_REDRAW_S, since=mark)
            await self._connection.clock.sleep(_CALM_S)
