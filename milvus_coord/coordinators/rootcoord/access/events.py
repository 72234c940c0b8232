"""Events of users, roles and privileges, one for each change of one key."""

from __future__ import annotations

from dataclasses import dataclass

from milvus_coord.coordinators.rootcoord.access.state_records import Grantee, User


@dataclass(frozen=True, slots=True)
class AccessEvent:
    """The base of all of them. What is repeated or deletes nothing does nothing."""


@dataclass(frozen=True, slots=True)
class UserPut(AccessEvent):
    """The user is there, with this record."""

    user: User


@dataclass(frozen=True, slots=True)
class UserDeleted(AccessEvent):
    """There is no such user."""

    name: str


@dataclass(frozen=True, slots=True)
class RolePut(AccessEvent):
    """The role is there."""

    name: str


@dataclass(frozen=True, slots=True)
class RoleDeleted(AccessEvent):
    """There is no such role."""

    name: str


@dataclass(frozen=True, slots=True)
class MappingPut(AccessEvent):
    """The user has the role; either of them may be missing."""

    user: str
    role: str


@dataclass(frozen=True, slots=True)
class MappingDeleted(AccessEvent):
    """The user does not have the role."""

    user: str
    role: str


@dataclass(frozen=True, slots=True)
class GranteePut(AccessEvent):
    """The privileges of the grantee are filed under `id`; they stay when it loses all of them."""

    grantee: Grantee
    id: str


@dataclass(frozen=True, slots=True)
class GranteeDeleted(AccessEvent):
    """The grantee was never granted anything."""

    grantee: Grantee


@dataclass(frozen=True, slots=True)
class PrivilegePut(AccessEvent):
    """The grantee with the id `grantee_id` holds the privilege."""

    grantee_id: str
    privilege: str
    grantor: str


@dataclass(frozen=True, slots=True)
class PrivilegeDeleted(AccessEvent):
    """The privilege is not held under this id."""

    grantee_id: str
    privilege: str
