"""S29: what the queue holds when an active goes, in each of the ways in which one goes.

A Kafka broker knows nothing of epochs: nothing there refuses a message of a deposed active. What
keeps it from sending is its serve lease, asked right before each message is given to the client
library. This shows that no message of it stands behind one of its successor; it is no proof for
messages that the network itself holds back for longer than a takeover takes.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from typing import Any, Final

from testing.kafka import KafkaBroker
from testing.messages import message_class
from tests.rig.extras import set_env
from tests.rig.registry import scenario
from tests.rig.rig import Rig

_TICK: Final = 1200
_CHANNELS: Final = 4
_MANY: Final = "1000"


async def producers(rig: Rig) -> None:
    """By turns the active dies, freezes, and is told to end."""
    broker = KafkaBroker(rig.folder / "kafka")
    try:
        address = await broker.serve()
        for each in rig.coordinators:
            set_env(each, without=("MQ_TYPE",), KAFKA_BROKER_LIST=address)
        active, standby = await rig.pair()
        order = [rig.server_id(active)]
        for way in rig.pick(["freeze", "kill", "sigterm"], ["freeze", "kill", "sigterm"] * 10):
            with rig.fault(way):
                if way == "freeze":
                    active.pause()
                elif way == "kill":
                    active.kill()
                else:
                    active.terminate()
                order.append(rig.server_id(standby))
                await rig.leads(standby)
            if way == "freeze":
                active.resume()
                await rig.ready(active)
            else:
                await active.wait_exit(20)
                await rig.restart(active)
            active, standby = standby, active
        await rig.working.aclose()
        topics = [f"by-dev-rootcoord-dml_{number}" for number in range(_CHANNELS)]
        for topic in topics:
            rig.violations += _judge(topic, _read(address, topic), order)
    finally:
        broker.kill()


def _read(address: str, topic: str) -> list[bytes]:
    from testing.kafka_jvm import read_topic

    return [record.value for record in read_topic(address, topic)]


def _judge(topic: str, values: Sequence[bytes], order: Sequence[int]) -> Iterator[str]:
    """Ticks grow, nothing stands below a tick before it, and servers come in this order."""
    header: Any = message_class("common.MsgHeader")
    ticked = turn = 0
    seen = set()
    for offset, value in enumerate(values):
        base = header.FromString(value).base
        where = f"{topic} at {offset}: type {base.msg_type} of {base.sourceID}, ts {base.timestamp}"
        if base.timestamp < ticked or (base.msg_type != _TICK and base.timestamp == ticked):
            yield f"{where}, behind a tick of {ticked}"
        if base.msg_type != _TICK:
            continue
        ticked = max(ticked, base.timestamp)
        seen.add(base.sourceID)
        if base.sourceID not in order[turn:]:
            yield f"{where}, but its successor has sent ticks before"
        else:
            turn = order.index(base.sourceID, turn)
    if len(seen) < 2:
        yield f"{topic} has ticks of {seen} alone"


if importlib.util.find_spec("confluent_kafka"):
    early = {
        "HA_EARLY_REPLACEMENTS_PER_MINUTE": _MANY,
        "HA_EARLY_REPLACEMENTS_PER_TEN_MINUTES": _MANY,
    }
    scenario("S29", "the messages of one active after the other", etcd_members=1, env=early)(
        producers
    )
