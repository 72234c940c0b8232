"""What a role needs to lead: told once, named, and forgotten when it is there again."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from milvus_coord.app.ha import requirements
from milvus_coord.app.roles import ROLES
from milvus_coord.mq.reach import broker_addresses
from milvus_coord.mq.settings import KafkaSettings, MemorySettings, PulsarSettings, QueueSettings
from milvus_coord.role.requirements import Requirement, Requirements
from milvus_coord.role.shape import RoleContext
from milvus_coord.telemetry.metrics import Metrics
from testing.log_lines import log_lines


async def test_what_is_not_there_is_named_until_it_is() -> None:
    why = {"queue": "no broker", "store": ""}

    def looks(name: str) -> Requirement:
        async def look() -> str:
            return why[name]

        return Requirement(name, look)

    needs = Requirements([looks("queue"), looks("store")])

    def unmet() -> list[str]:
        return list(needs.unmet)

    assert unmet() == []
    with log_lines() as lines:
        await needs.turn()
        await needs.turn()
        assert unmet() == ["queue: no broker"]
        why["store"] = "no bucket"
        await needs.turn()
        assert unmet() == ["queue: no broker", "store: no bucket"]
        why.update(queue="", store="")
        await needs.turn()
    assert unmet() == []
    assert [(line.level, line.fields["needs"]) for line in lines] == [
        ("WARN", "queue"),
        ("WARN", "store"),
        ("INFO", "queue"),
        ("INFO", "store"),
    ]


async def test_a_role_has_requirements_of_its_own() -> None:
    async def look() -> str:
        return "no bucket"

    def of_role(_: RoleContext) -> tuple[Requirement, ...]:
        return (Requirement("the object storage", look),)

    shape = replace(ROLES["rootcoord"], requirements=of_role)
    metrics = Metrics()
    context = cast(RoleContext, SimpleNamespace(queue=None, metrics=metrics))
    needs = requirements(shape, context, "")
    await needs.turn()
    assert needs.unmet == ("the object storage: no bucket",)
    shown = metrics.render().decode()
    assert 'milvus_coord_requirement_met{requirement="the object storage"} 0' in shown
    assert 'milvus_coord_requirement_met{requirement="the message queue"} 1' in shown


@pytest.mark.parametrize(
    ("settings", "addresses"),
    [
        (None, ()),
        (MemorySettings(), ()),
        (KafkaSettings("a:1, b ,[::1]:9"), (("a", 1), ("b", 9092), ("::1", 9))),
        (KafkaSettings("SASL_SSL://a:9093,"), (("a", 9093),)),
        (PulsarSettings("pulsar://p:6650"), (("p", 6650),)),
        (PulsarSettings("pulsar+ssl://p,q:7/x"), (("p", 6651), ("q", 7))),
        (PulsarSettings("pulsar://u:w@p:1"), (("p", 1),)),
        (PulsarSettings("pulsar://[::1]"), (("::1", 6650),)),
        (PulsarSettings("pulsar://p:" + "9" * 400), (("p:" + "9" * 400, 6650),)),
    ],
)
def test_where_the_brokers_are(
    settings: QueueSettings | None, addresses: tuple[tuple[str, int], ...]
) -> None:
    assert broker_addresses(settings) == addresses
