"""What has happened between two pictures of `milvus status -w`, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from milvus_coord.cli.format import millis, printable
from milvus_coord.cli.ha_pause import described
from milvus_coord.cli.ha_status_show import RoleSeen
from milvus_coord.ha.pair.role_snapshot import Instance, RoleSnapshot


def events(before: Sequence[RoleSeen], after: Sequence[RoleSeen], now_ms: int) -> list[str]:
    """One sentence a change, beginning with the role; of a role that is new, who leads."""
    known = {one.role: one for one in before}
    nothing = RoleSeen("", RoleSnapshot(""))
    return [
        printable(f"{now.role}  {text}")
        for now in after
        for text in _of_role(known.get(now.role, nothing), now, now_ms)
    ]


def _of_role(before: RoleSeen, now: RoleSeen, now_ms: int) -> Iterator[str]:
    old, new = before.snapshot, now.snapshot
    if old.epoch != new.epoch:
        yield _leads(new)
    served = (entry := new.takeover(new.epoch)) is not None and entry.served
    if old.listed and entry is not None and served and entry != old.takeover(new.epoch):
        yield f"{entry.server_id} serves, {millis(sum(entry.phases.values()))} ms"
    former = {one.server_id: one for one in old.instances}
    there = {one.server_id: one for one in new.instances}
    for server_id in former.keys() - there.keys():
        yield f"{server_id} ({former[server_id].address}) has gone"
    for server_id, one in there.items():
        if (was := former.get(server_id)) is None:
            yield f"{server_id} ({one.address}) has come"
        was_ready = was is not None and before.ready(was) is True
        if not one.leads and (now.ready(one) is True) != was_ready:
            yield (
                f"{server_id} is ready" if not was_ready else f"{server_id} is not ready{_why(one)}"
            )
    if old.pause != new.pause:
        yield f"paused {described(new.pause, now_ms)}" if new.pause else "not paused any more"


def _leads(snapshot: RoleSnapshot) -> str:
    leader, entry = snapshot.leader, snapshot.takeover(snapshot.epoch)
    if leader is None:
        return "nobody leads"
    cause = f", {entry.cause.value}" if entry else ""
    return f"{leader.server_id} ({leader.address}) leads{cause}, epoch {snapshot.epoch}"


def _why(one: Instance) -> str:
    why = one.status.why if one.status else ()
    return f": {', '.join(why)}" if why else ""
