"""What may happen to users, roles and privileges: one event for each change of one key."""

from __future__ import annotations

from dataclasses import dataclass

from milvus_coord.model.access import Grantee, User


@dataclass(frozen=True, slots=True)
class AccessEvent:
    """The base of all of them. An event repeated, or a Gone of what is not there, does nothing."""


@dataclass(frozen=True, slots=True)
class UserIs(AccessEvent):
    """The user is there, with this record."""

    user: User


@dataclass(frozen=True, slots=True)
class UserGone(AccessEvent):
    """There is no such user."""

    name: str


@dataclass(frozen=True, slots=True)
class RoleIs(AccessEvent):
    """The role is there."""

    name: str


@dataclass(frozen=True, slots=True)
class RoleGone(AccessEvent):
    """There is no such role."""

    name: str


@dataclass(frozen=True, slots=True)
class MappingIs(AccessEvent):
    """The user has the role; either of them may be missing."""

    user: str
    role: str


@dataclass(frozen=True, slots=True)
class MappingGone(AccessEvent):
    """The user does not have the role."""

    user: str
    role: str


@dataclass(frozen=True, slots=True)
class GranteeIs(AccessEvent):
    """The privileges of the grantee are filed under `id`; they stay when it loses all of them."""

    grantee: Grantee
    id: str


@dataclass(frozen=True, slots=True)
class GranteeGone(AccessEvent):
    """The grantee was never granted anything."""

    grantee: Grantee


@dataclass(frozen=True, slots=True)
class PrivilegeIs(AccessEvent):
    """Whoever has the id `grantee_id` holds the privilege."""

    grantee_id: str
    privilege: str
    grantor: str


@dataclass(frozen=True, slots=True)
class PrivilegeGone(AccessEvent):
    """The privilege is not held under this id."""

    grantee_id: str
    privilege: str
