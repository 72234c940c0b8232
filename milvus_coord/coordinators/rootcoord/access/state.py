"""Users, roles, the roles of users, and the privileges of roles."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from itertools import chain, starmap
from typing import TypeVar

from milvus_coord.coordinators.rootcoord.access.events import (
    AccessEvent,
    GranteeDeleted,
    GranteePut,
    MappingDeleted,
    MappingPut,
    PrivilegeDeleted,
    PrivilegePut,
    RoleDeleted,
    RolePut,
    UserDeleted,
    UserPut,
)
from milvus_coord.coordinators.rootcoord.access.state_records import Grant, Grantee, User
from milvus_coord.model.database import DEFAULT_DATABASE

K = TypeVar("K", bound=Hashable)


class AccessState:
    """The image of all keys of access control; takes events in any order.

    Lists come in the order of etcd's keys, which is that of Go 2.2.16.
    """

    def __init__(self) -> None:
        self._users: dict[str, User] = {}
        self._roles: set[str] = set()
        self._roles_of: dict[str, set[str]] = {}
        self._users_of: dict[str, set[str]] = {}
        self._grantees: dict[str, dict[Grantee, str]] = {}
        self._privileges: dict[str, dict[str, str]] = {}

    def __repr__(self) -> str:
        return f"<AccessState {len(self._users)} users, {len(self._roles)} roles>"

    def on(self, event: AccessEvent) -> None:
        """Take one event."""
        match event:
            case UserPut(record):
                self._users[record.name] = record
            case UserDeleted(name):
                self._users.pop(name, None)
            case RolePut(name):
                self._roles.add(name)
            case RoleDeleted(name):
                self._roles.discard(name)
            case MappingPut(user, role):
                self._roles_of.setdefault(user, set()).add(role)
                self._users_of.setdefault(role, set()).add(user)
            case MappingDeleted(user, role):
                _discard(self._roles_of, user, role)
                _discard(self._users_of, role, user)
            case GranteePut(grantee, grantee_id):
                self._grantees.setdefault(grantee.role, {})[grantee] = grantee_id
            case GranteeDeleted(grantee):
                _drop(self._grantees, grantee.role, grantee)
            case PrivilegePut(grantee_id, privilege, grantor):
                self._privileges.setdefault(grantee_id, {})[privilege] = grantor
            case PrivilegeDeleted(grantee_id, privilege):
                _drop(self._privileges, grantee_id, privilege)

    def records(self) -> Iterator[AccessEvent]:
        """The events that make this state, as at this call and in any order."""
        mappings = [(user, role) for user, roles in self._roles_of.items() for role in roles]
        grantees = [each for of in self._grantees.values() for each in of.items()]
        privileges = [
            (grantee_id, privilege, grantor)
            for grantee_id, held in self._privileges.items()
            for privilege, grantor in held.items()
        ]
        return chain(
            map(UserPut, tuple(self._users.values())),
            map(RolePut, tuple(self._roles)),
            starmap(MappingPut, mappings),
            starmap(GranteePut, grantees),
            starmap(PrivilegePut, privileges),
        )

    @property
    def user_count(self) -> int:
        """How many users there are."""
        return len(self._users)

    @property
    def role_count(self) -> int:
        """How many roles there are, `admin` and `public` included."""
        return len(self._roles)

    def has_user(self, name: str) -> bool:
        """Whether there is such a user, even one with a damaged record."""
        return name in self._users

    def has_role(self, name: str) -> bool:
        """Whether there is such a role."""
        return name in self._roles

    def user(self, name: str) -> User | None:
        """A user by name."""
        return self._users.get(name)

    def users(self) -> tuple[str, ...]:
        """The names of all users."""
        return tuple(sorted(self._users))

    def roles(self) -> tuple[str, ...]:
        """The names of all roles."""
        return tuple(sorted(self._roles))

    def has_mapping(self, user: str, role: str) -> bool:
        """Whether the user has the role."""
        return role in self._roles_of.get(user, ())

    def roles_of(self, user: str) -> tuple[str, ...]:
        """The roles that a user has."""
        return tuple(sorted(self._roles_of.get(user, ())))

    def users_of(self, role: str) -> tuple[str, ...]:
        """The users that have a role."""
        return tuple(sorted(self._users_of.get(role, ()), key=lambda user: f"{user}/"))

    def mappings(self) -> tuple[str, ...]:
        """The roles of users, each as `<user>/<role>`."""
        pairs = (f"{user}/{role}" for user, roles in self._roles_of.items() for role in roles)
        return tuple(sorted(pairs))

    def grantee_id(self, grantee: Grantee) -> str:
        """Where the privileges of a grantee are filed; "" when it has no place yet."""
        return self._grantees.get(grantee.role, {}).get(grantee, "")

    def find_grantee(
        self, role: str, object_type: str, db_name: str, object_name: str
    ) -> Grantee | None:
        """The grantee that has a place, in `default` first the one from before databases."""
        candidates = [Grantee.of(role, object_type, db_name, object_name)]
        if db_name == DEFAULT_DATABASE and "." not in object_name:
            candidates.insert(0, Grantee(role, object_type, object_name))
        return next((found for found in candidates if self.grantee_id(found)), None)

    def has_privilege(self, grantee_id: str, privilege: str) -> bool:
        """Whether the privilege, by its stored name, is held under this id."""
        return privilege in self._privileges.get(grantee_id, ())

    def grants_to(self, grantee: Grantee) -> tuple[Grant, ...]:
        """The grants to one grantee."""
        held = self._privileges.get(self.grantee_id(grantee), {})
        return tuple(Grant(grantee, privilege, held[privilege]) for privilege in sorted(held))

    def grants_of(self, role: str) -> tuple[Grant, ...]:
        """The grants to a role, on any object in any database."""
        return tuple(self._grants(self._grantees.get(role, ())))

    def grants(self) -> tuple[Grant, ...]:
        """The grants to all roles, also to roles that are not there."""
        return tuple(self._grants(g for grantees in self._grantees.values() for g in grantees))

    def grants_on(self, wanted: Callable[[Grantee], bool]) -> tuple[Grant, ...]:
        """The grants to those grantees of any role that are wanted."""
        return tuple(
            self._grants(g for grantees in self._grantees.values() for g in grantees if wanted(g))
        )

    def _grants(self, grantees: Iterable[Grantee]) -> Iterator[Grant]:
        for grantee in sorted(grantees, key=lambda grantee: grantee.path):
            yield from self.grants_to(grantee)

    def check(self) -> list[str]:
        """What contradicts itself, a sentence each; for tests."""
        mapped = {(user, role) for user, roles in self._roles_of.items() for role in roles}
        filed = {(user, role) for role, users in self._users_of.items() for user in users}
        groups = (self._roles_of, self._users_of, self._grantees, self._privileges)
        empty = [key for group in groups for key, held in group.items() if not held]
        return [
            *(
                f"user {u.name} is filed as {key}"
                for key, u in self._users.items()
                if u.name != key
            ),
            *(f"user {user} and role {role} disagree" for user, role in mapped ^ filed),
            *(f"nothing is left of {key}" for key in empty),
            *(
                f"grantee {grantee.path} is filed under role {role}"
                for role, grantees in self._grantees.items()
                for grantee in grantees
                if grantee.role != role
            ),
        ]


def _drop(groups: dict[str, dict[K, str]], group: str, key: K) -> None:
    """Take one entry out; a group left without any goes too."""
    entries = groups.get(group)
    if entries is not None:
        entries.pop(key, None)
        if not entries:
            del groups[group]


def _discard(groups: dict[str, set[str]], group: str, name: str) -> None:
    """Take `name` out of a group; a group that becomes empty goes."""
    names = groups.get(group)
    if names is not None:
        names.discard(name)
        if not names:
            del groups[group]
