"""Ask the instances of a role over HTTP what their mirrors hold."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from milvus_coord.etcd.protocol import Etcd
from milvus_coord.ha.mirror.dump import Digest, Dump
from milvus_coord.ha.pair.instance_status import InstanceStatus
from milvus_coord.ha.pair.keys import Keys, number_after
from milvus_coord.model.errors import BadValue

_SHOWN: Final = 40
_ANSWER_S: Final = 60.0
"""Some 7 us of computing a key, 6 s for 800,000; what is busy leading takes longer."""


class NotAsked(Exception):
    """A member gave no usable answer; the text says why."""


@dataclass(frozen=True, slots=True)
class Member:
    """One instance; `management` is `host:port`, "" when it does not tell."""

    name: str
    position: str
    management: str


async def members_of(etcd: Etcd, keys: Keys) -> list[Member]:
    """All instances of ours that say in etcd that they are there, by server id."""
    found = await etcd.range(keys.statuses)
    statuses: dict[int, Member] = {}
    for kv in found.kvs:
        number = number_after(keys.statuses, kv.key)
        name = kv.key.removeprefix(keys.statuses)[:_SHOWN].decode(errors="replace")
        try:
            status = InstanceStatus.decode(kv.key, kv.value)
        except BadValue:
            member = Member(name, "unknown", "")
        else:
            member = Member(name, status.phase.value, status.management)
        statuses[-1 if number is None else number] = member
    return [statuses[number] for number in sorted(statuses)]


async def ask_digest(member: Member) -> Digest:
    """Raises NotAsked."""
    _, body = await _get(member, "/mirror")
    try:
        return _digest(json.loads(body))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise NotAsked(f"{member.management} answers {body[:100]!r}: {error!r}") from error


async def ask_dump(member: Member, token: str = "") -> Dump:
    """Ask with `ha.managementToken`, which other hosts want. Raises NotAsked."""
    headers, body = await _get(member, "/mirror?dump", token)
    facts = {name.lower().removeprefix("mirror-"): value for name, value in headers.items()}
    try:
        return Dump(_digest(facts), body)
    except (ValueError, KeyError) as error:
        raise NotAsked(f"{member.management} answers with headers {headers}") from error


async def _get(member: Member, path: str, token: str = "") -> tuple[Mapping[str, str], bytes]:
    if not member.management:
        raise NotAsked("it does not say in etcd where its management port is")
    try:
        return await asyncio.to_thread(_fetch, member.management, path, token)
    except (OSError, UnicodeError, OverflowError, http.client.HTTPException) as error:
        raise NotAsked(
            f"no answer from {member.management}: {str(error) or repr(error)}"
        ) from error


def _fetch(address: str, path: str, token: str) -> tuple[Mapping[str, str], bytes]:
    connection = http.client.HTTPConnection(address, timeout=_ANSWER_S)
    headers = {"Connection": "close", **({"Authorization": f"Bearer {token}"} if token else {})}
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    if response.status != http.HTTPStatus.OK:
        words = body[:200].decode(errors="replace").strip()
        raise NotAsked(f"{address} answers {response.status}: {words}")
    return dict(response.getheaders()), body


def _digest(facts: Mapping[str, Any]) -> Digest:
    return Digest(
        revision=int(facts["revision"]),
        changed=int(facts["changed"]),
        keys=int(facts["keys"]),
        digest=str(facts["digest"]),
        format=str(facts.get("format", "")),
        wrong=tuple(facts.get("wrong", ())),
    )
