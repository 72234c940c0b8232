"""`milvus wait ROLE`: until somebody leads, or until a standby could take over, too."""

from __future__ import annotations

from typing import Final

from milvus_coord.cli.connection import CONNECT_S, Connection
from milvus_coord.cli.ha_status_show import (
    NO_ACTIVE,
    NO_READY_STANDBY,
    exit_code,
    facts_of,
    see,
)
from milvus_coord.cli.output import rendered
from milvus_coord.ha.pair.role_follower import RoleFollower
from milvus_coord.runtime.race import cancel_and_wait
from milvus_coord.runtime.taskgroup import TaskGroup

_LOOK_S: Final = 0.5
"""An instance becomes stale without an event: so long may pass until that is seen."""

_MISSING: Final = {
    NO_ACTIVE: "nobody leads",
    NO_READY_STANDBY: "somebody leads, but no standby is ready",
}


async def wait(
    connection: Connection, role: str, *, goal: str, timeout_s: float, output: str
) -> int:
    """Wait until the goal, "active" or "ready", is reached; 0 then, else the code of `status`.

    For "active" a leader without a ready standby is enough.
    """
    follower = RoleFollower(connection.etcd, connection.clock, connection.meta_root, (role,))
    enough = (0, NO_READY_STANDBY) if goal == "active" else (0,)
    async with TaskGroup() as tasks:
        following = tasks.create_task(follower.run(), name="wait.look")
        await follower.listed(CONNECT_S)
        deadline = connection.clock.boottime() + timeout_s
        await follower.statuses_fresh()
        while True:
            mark = follower.changed.version()
            seen = [await see(connection.etcd, follower, role)]
            code = exit_code(seen)
            left_s = deadline - connection.clock.boottime()
            if code in enough or left_s <= 0:
                break
            await follower.change(min(left_s, _LOOK_S), since=mark)
        await cancel_and_wait(following)
    reached = code in enough
    text = f"{role} is {goal}" if reached else f"{role}: after {timeout_s:g} s {_MISSING[code]}"
    facts = {"reached": reached, **facts_of(seen, connection.meta_root)}
    print(rendered(facts, output, text + "\n"), end="")
    return 0 if reached else code
