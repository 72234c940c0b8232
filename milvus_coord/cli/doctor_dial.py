"""`milvus doctor`: whether the instances can be reached where they say that they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from milvus_coord.cli.doctor_finding import Finding, bad, warn
from milvus_coord.cli.format import printable
from milvus_coord.cli.ha_status_show import RoleSeen
from milvus_coord.config.address import split_address
from milvus_coord.runtime.dial import dial
from milvus_coord.runtime.taskgroup import TaskGroup

_DIAL_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Dialled:
    """What came of a connection; `refused`: the machine is there, and nobody listens."""

    error: str = ""
    refused: bool = False


async def dial_all(addresses: Iterable[str]) -> dict[str, Dialled]:
    """Connect to each `host:port` at the same time, and hang up."""
    async with TaskGroup() as tasks:
        asked = {
            address: tasks.create_task(_dial(address), name=f"dial {address}")
            for address in addresses
        }
    return {address: task.result() for address, task in asked.items()}


async def _dial(address: str) -> Dialled:
    try:
        host, port = split_address(address)
    except ValueError:
        return Dialled("it is not host:port")
    try:
        await dial(host, port or 0, within_s=_DIAL_S)
    except TimeoutError:
        return Dialled(f"no answer within {_DIAL_S:g} s")
    except ConnectionRefusedError:
        return Dialled("connection refused", refused=True)
    except OSError as error:
        return Dialled(error.strerror or str(error))
    return Dialled()


def findings(seen: RoleSeen, dialled: Mapping[str, Dialled]) -> Iterator[Finding]:
    """The instances that cannot be reached. A standby of ours refuses connections on purpose."""
    for one in seen.snapshot.instances:
        result = dialled.get(one.address, Dialled())
        if not result.error or (result.refused and one.ours and one.position != "active"):
            continue
        text = printable(
            f"{one.server_id} advertises {one.address}, which cannot be dialled from here: "
            f"{result.error}"
        )
        advice = "mend its address in the settings, or the network between"
        yield bad(seen.role, text, advice) if one.leads else warn(seen.role, text, advice)
