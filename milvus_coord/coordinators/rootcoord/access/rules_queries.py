"""Queries about users, roles and grants; they raise Refused in the words of Go 2.2.16."""

from __future__ import annotations

from milvus_coord.coordinators.rootcoord.access.rules_privileges import (
    GrantWanted,
    is_blank,
    why_not_object,
    why_not_role,
)
from milvus_coord.coordinators.rootcoord.access.state import AccessState
from milvus_coord.coordinators.rootcoord.access.state_records import Grant
from milvus_coord.model.database import DEFAULT_DATABASE
from milvus_coord.model.errors import Refused


def select_roles(access: AccessState, name: str | None) -> tuple[str, ...]:
    """The role of this name, if there is one; None asks for all."""
    if name is None:
        return access.roles()
    if is_blank(name):
        raise Refused("fail to select the role to check the role name")
    return (name,) if access.has_role(name) else ()


def select_users(access: AccessState, name: str | None) -> tuple[str, ...]:
    """The user of this name, if there is one; None asks for all."""
    if name is None:
        return access.users()
    if is_blank(name):
        raise Refused("fail to select the user to check the username")
    return (name,) if access.has_user(name) else ()


def select_grants(access: AccessState, wanted: GrantWanted) -> tuple[Grant, ...]:
    """The grants to a role in one database; with object type and name both given, on that object.

    Go takes a name `<db>.<object>` in the database `default` for one from before databases, and
    finds nothing there; so do we.
    """
    reason = why_not_role(wanted.role, access)
    if reason is None and wanted.object_type is not None:
        reason = why_not_object(wanted.object_type)
    if reason is not None:
        raise Refused(reason)
    role, db_name = wanted.role or "", wanted.db_name or DEFAULT_DATABASE
    if wanted.object_type is None or is_blank(wanted.object_name):
        found = access.grants_of(role)
    else:
        grantee = access.find_grantee(role, wanted.object_type, db_name, wanted.object_name)
        found = access.grants_to(grantee) if grantee else ()
    return tuple(grant for grant in found if grant.grantee.db_name == db_name)
