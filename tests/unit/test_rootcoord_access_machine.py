"""Access control as a machine: whatever is asked, memory and etcd say the same, and so does Go."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from milvus_coord.coordinators.rootcoord.access.catalog import AccessCatalog
from milvus_coord.coordinators.rootcoord.access.state import AccessState
from milvus_coord.coordinators.rootcoord.access.work import AccessLimits
from milvus_coord.etcd.errors import Unavailable
from milvus_coord.model.database import DEFAULT_DATABASE
from testing.access import ROOM, AccessTerm, AccessWorld, grant_entity, status_of
from testing.forms import examples
from testing.metadata import META_ROOT

T = TypeVar("T")

USERS = st.sampled_from(["root", "a", "ab", "b"])
ROLES = st.sampled_from(["r", "rr", "s"])
DATABASES = st.sampled_from(["", "default", "*", "other"])
OBJECTS = st.sampled_from(["c", "d", "*"])
PRIVILEGES = st.sampled_from(["Insert", "Search", "*"])
OPERATIONS = st.sampled_from([0, 1])

Policy = tuple[str, str, str, str]


class AccessMachine(RuleBasedStateMachine):
    """The RPCs against sets of what should be there."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.world = AccessWorld(AccessLimits(max_users=3, max_roles=2))
        self.users: dict[str, str] = {}
        self.roles: set[str] = set()
        self.mappings: set[tuple[str, str]] = set()
        self.policies: set[Policy] = set()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    @initialize()
    def begin(self) -> None:
        self._context = self.world.term()
        self.term: AccessTerm = self.run(self._context.__aenter__())

    def teardown(self) -> None:
        if hasattr(self, "term"):
            self.run(self._context.__aexit__(None, None, None))
        self.loop.close()

    def ask(self, rpc: str, **fields: Any) -> int:
        code: int = status_of(self.run(self.term.call(rpc, **fields)))[0]
        return code

    @rule(name=USERS, secret=st.sampled_from(["1", "2"]))
    def create_user(self, name: str, secret: str) -> None:
        allowed = name not in self.users and len(self.users) < 3
        code = self.ask("CreateCredential", username=name, encrypted_password=secret)
        assert code == (0 if allowed else 29)
        if allowed:
            self.users[name] = secret

    @rule(name=USERS, secret=st.sampled_from(["3", "4"]))
    def update_user(self, name: str, secret: str) -> None:
        assert self.ask("UpdateCredential", username=name, encrypted_password=secret) == 0
        self.users[name] = secret

    @rule(name=USERS)
    def delete_user(self, name: str) -> None:
        assert self.ask("DeleteCredential", username=name) == 0
        self.users.pop(name, None)
        self.mappings = {each for each in self.mappings if each[0] != name}

    @rule(name=ROLES)
    def create_role(self, name: str) -> None:
        allowed = name not in self.roles and len(self.roles) < 2
        assert self.ask("CreateRole", entity={"name": name}) == (0 if allowed else 35)
        if allowed:
            self.roles.add(name)

    @rule(name=ROLES)
    def drop_role(self, name: str) -> None:
        holds = any(policy[0] == name for policy in self.policies)
        allowed = name in self.roles and not holds
        assert self.ask("DropRole", role_name=name) == (0 if allowed else 36)
        if allowed:
            self.roles.discard(name)
            self.mappings = {each for each in self.mappings if each[1] != name}

    @rule(user=USERS, role=ROLES, operation=OPERATIONS)
    def map_user(self, user: str, role: str, operation: int) -> None:
        allowed = role in self.roles and (operation == 1 or user in self.users)
        code = self.ask("OperateUserRole", username=user, role_name=role, type=operation)
        assert code == (0 if allowed else 37)
        if allowed:
            (self.mappings.discard if operation else self.mappings.add)((user, role))

    @rule(
        role=ROLES,
        user=USERS,
        db_name=DATABASES,
        name=OBJECTS,
        privilege=PRIVILEGES,
        operation=OPERATIONS,
    )
    def change_privilege(
        self, role: str, user: str, db_name: str, name: str, privilege: str, operation: int
    ) -> None:
        entity = grant_entity(role, "Collection", name, privilege, user=user, db_name=db_name)
        allowed = role in self.roles and user in self.users
        code = self.ask("OperatePrivilege", entity=entity, type=operation)
        assert code == (0 if allowed else 41)
        if allowed:
            stored = privilege if privilege == "*" else f"Privilege{privilege}"
            policy = (role, db_name or DEFAULT_DATABASE, name, stored)
            (self.policies.discard if operation else self.policies.add)(policy)

    @rule(applied=st.booleans(), name=ROLES)
    def lose_an_answer(self, applied: bool, name: str) -> None:
        if name in self.roles or len(self.roles) >= 2:
            return
        self.world.etcd.fail_next("txn", Unavailable("no answer", sent=True), applied=applied)
        assert self.ask("CreateRole", entity={"name": name}) == (0 if applied else 35)
        if applied:
            self.roles.add(name)

    @rule()
    def take_over(self) -> None:
        self.run(self._context.__aexit__(None, None, None))
        self.begin()

    @invariant()
    def memory_is_right(self) -> None:
        if not hasattr(self, "term"):
            return
        state = self.term.state
        assert state.check() == []
        assert {name: _hash(state, name) for name in state.users()} == self.users
        assert set(state.roles()) == self.roles
        assert set(state.mappings()) == {f"{user}/{role}" for user, role in self.mappings}
        for user, role in self.mappings:
            assert role in state.roles_of(user)
            assert user in state.users_of(role)
        found = [
            (g.grantee.role, g.grantee.db_name, g.grantee.object_name, g.privilege)
            for g in state.grants()
        ]
        assert len(found) == len(set(found))
        assert set(found) == self.policies

    @invariant()
    def etcd_says_the_same(self) -> None:
        if not hasattr(self, "term"):
            return
        fresh, catalog = AccessState(), AccessCatalog(META_ROOT)
        for key, value in reversed(self.world.room().items()):
            event = catalog.event(f"{ROOM}{key}".encode(), value)
            assert event is not None, f"{key} says nothing"
            fresh.on(event)
        assert _story(fresh) == _story(self.term.state)


def _hash(state: AccessState, name: str) -> str | None:
    user = state.user(name)
    assert user is not None
    return user.password_hash


def _story(state: AccessState) -> tuple[object, ...]:
    users = {name: _hash(state, name) for name in state.users()}
    return users, state.roles(), state.mappings(), state.grants()


AccessMachine.TestCase.settings = settings(max_examples=examples(40), stateful_step_count=40)
TestAccess = AccessMachine.TestCase
