"""`milvus status [ROLE]`: who leads, who stands by, how fit each of them is."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from milvus_coord.cli.connection import CONNECT_S, Connection
from milvus_coord.cli.ha_status_show import RoleSeen, as_json, as_table, essence, exit_code, see
from milvus_coord.ha.pair.role_follower import RoleFollower
from milvus_coord.runtime.race import Interrupted, cancel_and_wait, run_until
from milvus_coord.runtime.taskgroup import TaskGroup

_CLEAR: Final = "\x1b[H\x1b[2J"
_REDRAW_S: Final = 1.0
_CALM_S: Final = 0.1
"""Changes of one moment are shown together."""


async def status(
    connection: Connection, roles: Sequence[str], *, all_roles: bool, json: bool, watch: bool
) -> int:
    """Print the status of `roles`; with `all_roles` only those that have a key. The exit code.

    With `watch` print it again at each change, until Ctrl-C: the exit code is 0 then.
    """
    follower = RoleFollower(connection.etcd, connection.clock, connection.meta_root, tuple(roles))
    page = _Page(connection, follower, tuple(roles), all_roles, json)
    async with TaskGroup() as tasks:
        following = tasks.create_task(follower.run(), name="status.look")
        await follower.listed(CONNECT_S)
        if watch:
            await page.keep()
            code = 0
        else:
            await follower.statuses_fresh()
            seen = await page.see()
            print(page.text(seen), end="")
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
        json: bool,
    ) -> None:
        self._connection, self._follower = connection, follower
        self._roles, self._all_roles, self._json = roles, all_roles, json

    async def see(self) -> list[RoleSeen]:
        """The picture now; asks etcd how long the leases of Go's instances have left."""
        seen = [await see(self._connection.etcd, self._follower, role) for role in self._roles]
        return [one for one in seen if one.snapshot.exists or not self._all_roles]

    def text(self, seen: list[RoleSeen]) -> str:
        """As asked for: the table, or JSON."""
        root, now_ms = self._connection.meta_root, self._connection.clock.wall_ns() // 1_000_000
        return as_json(seen, root) if self._json else as_table(seen, root, now_ms)

    async def keep(self) -> None:
        """Show changes until Ctrl-C: the whole screen anew on a terminal, else what has changed."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        with suppress(Interrupted):
            await run_until(stop, self._keep(), name="status.watch")

    async def _keep(self) -> None:
        redraw = sys.stdout.isatty() and not self._json
        said: object = None
        while True:
            mark = self._follower.changed.version()
            seen = await self.see()
            if redraw:
                print(_CLEAR + self.text(seen), end="", flush=True)
            elif (now := essence(seen)) != said:
                said = now
                print(self.text(seen), end="", flush=True)
            with suppress(TimeoutError):
                async with asyncio.timeout(_REDRAW_S):
                    await self._follower.changed.wait(since=mark)
            await self._connection.clock.sleep(_CALM_S)
