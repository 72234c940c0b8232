"""The 13 RPCs of access control asked anything at all: they answer, and nothing breaks."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from hypothesis import given, settings
from hypothesis import strategies as st

from milvus_coord.coordinators.rootcoord.access.catalog import AccessCatalog
from testing.access import ROOM, AccessTerm, AccessWorld, grant_entity, status_of
from testing.forms import examples
from testing.messages import method_types
from testing.metadata import META_ROOT

CODES: Final = {
    "CreateCredential": 29,
    "UpdateCredential": 30,
    "DeleteCredential": 31,
    "GetCredential": 32,
    "ListCredUsers": 33,
    "CreateRole": 35,
    "DropRole": 36,
    "OperateUserRole": 37,
    "SelectRole": 38,
    "SelectUser": 39,
    "OperatePrivilege": 41,
    "SelectGrant": 42,
    "ListPolicy": 44,
}
READS: Final = {"GetCredential", "ListCredUsers", "SelectRole", "SelectUser", "SelectGrant"}

NAMES: Final = st.one_of(
    st.sampled_from(["root", "ann", "r", "Collection", "Global", "Insert", "All", "*", "c"]),
    st.sampled_from(["", " ", "/", "a/b", "../../x", ".", "..", "a.b", "\0", 'a"b', "a\\", "\n"]),
    st.sampled_from(["\u2028", "\u3000", "é", "x" * 1_000_000, "{}", "%s", "\ufeff", "default"]),
    st.text(max_size=8),
)
NUMBERS: Final = st.sampled_from([0, 1, 2, 7, -1, 2**31 - 1, -(2**31)])


def fields_of(message: Descriptor) -> st.SearchStrategy[dict[str, Any]]:
    """Any values for any of the fields; sub-messages may be missing or empty."""
    known = {field.name: _values(field) for field in message.fields if _values(field) is not None}
    return st.fixed_dictionaries({}, optional=known)


def _values(field: FieldDescriptor) -> Any:
    if field.message_type is not None and not field.message_type.GetOptions().map_entry:
        return fields_of(field.message_type)
    if field.type == FieldDescriptor.TYPE_STRING:
        return NAMES
    if field.type in (FieldDescriptor.TYPE_ENUM, FieldDescriptor.TYPE_INT64):
        return NUMBERS
    if field.type == FieldDescriptor.TYPE_BOOL:
        return st.booleans()
    return None


def _request(rpc: str) -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    request, _ = method_types(f"rootcoord.RootCoord/{rpc}")
    return st.tuples(st.just(rpc), fields_of(request.DESCRIPTOR))


GRANTS: Final = st.tuples(
    st.just("OperatePrivilege"),
    st.fixed_dictionaries(
        {
            "type": st.sampled_from([0, 0, 0, 1]),
            "entity": st.builds(
                grant_entity,
                st.just("r"),
                st.sampled_from(["Collection", "Collection", "Global"]),
                NAMES,
                st.sampled_from(["Insert", "All", "*"]),
                db_name=st.sampled_from(["", "*", "other"]) | NAMES,
            ),
        }
    ),
)
REQUESTS: Final = st.one_of(*map(_request, CODES), GRANTS)


@given(st.lists(REQUESTS, min_size=1, max_size=8))
@settings(max_examples=examples(60))
def test_anything_is_answered(requests: list[tuple[str, dict[str, Any]]]) -> None:
    asyncio.run(_ask(requests))


async def _ask(requests: list[tuple[str, dict[str, Any]]]) -> None:
    world = AccessWorld()
    async with world.term() as term:
        await _furnish(term)
        for rpc, fields in requests:
            before = world.room()
            code, text = status_of(await term.call(rpc, **fields))
            assert code in (0, CODES[rpc]), f"{rpc}: {code} {text}"
            assert bool(code) == bool(text)
            if code or rpc in READS:
                assert world.room() == before
        assert term.state.check() == []
        _layout_is_whole(world)
        reply = await term.ok("ListPolicy")
        assert all(
            set(json.loads(each)) == {"PType", "V0", "V1", "V2"} for each in reply.policy_infos
        )
        assert all(each.count("/") == 1 for each in reply.user_roles)
        await term.ok("UpdateCredential", username="after")


async def _furnish(term: AccessTerm) -> None:
    await term.defaults()
    await term.user("ann")
    await term.role("r")
    await term.ok("OperateUserRole", username="ann", role_name="r")
    await term.ok("OperatePrivilege", entity=grant_entity(), type=0)


def _layout_is_whole(world: AccessWorld) -> None:
    """Every key says something; what Go skips was not written."""
    catalog = AccessCatalog(META_ROOT)
    for key, value in world.room().items():
        assert catalog.event(f"{ROOM}{key}".encode(), value) is not None, key
    outside = [kv.key for kv in world.etcd.store.range(b"", b"\xff") if ROOM.encode() not in kv.key]
    assert sorted(outside) == [
        b"by-dev/meta/ha/rootcoord/mark",
        b"by-dev/meta/session/rootcoord",
    ]
