"""Which privileges there are, for which objects, and what a request about them must say.

The texts are those of Go 2.2.16; it lists the object types in no order, here they are sorted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from milvus_coord.coordinators.rootcoord.access.state import AccessState
from milvus_coord.coordinators.rootcoord.access.state_records import ANY
from milvus_coord.coordinators.rootcoord.collections.rules_requests import check_key_name
from milvus_coord.model.errors import Refused

GLOBAL: Final = "Global"
COLLECTION: Final = "Collection"
USER: Final = "User"

PRIVILEGES: Final[Mapping[str, tuple[str, ...]]] = {
    COLLECTION: (
        "Load",
        "Release",
        "Compaction",
        "Insert",
        "Delete",
        "GetStatistics",
        "CreateIndex",
        "IndexDetail",
        "DropIndex",
        "Search",
        "Flush",
        "Query",
        "LoadBalance",
        "Import",
        "GetLoadingProgress",
        "GetLoadState",
    ),
    GLOBAL: (
        "All",
        "CreateCollection",
        "DropCollection",
        "DescribeCollection",
        "ShowCollections",
        "RenameCollection",
        "CreateOwnership",
        "DropOwnership",
        "SelectOwnership",
        "ManageOwnership",
        "CreateResourceGroup",
        "DropResourceGroup",
        "DescribeResourceGroup",
        "ListResourceGroups",
        "TransferReplica",
        "TransferNode",
        "FlushAll",
        "CreateDatabase",
        "DropDatabase",
        "ListDatabases",
    ),
    USER: ("UpdateUser", "SelectUser"),
}
"""Object type to the privileges that it has; all of `milvus.proto.common.ObjectPrivilege`."""

PUBLIC_GRANTS: Final[Mapping[str, tuple[str, ...]]] = {
    GLOBAL: ("DescribeCollection", "ShowCollections"),
    COLLECTION: ("IndexDetail",),
}
"""The privileges of the role public on any object of any database, by object type."""

NO_ROLE: Final = "not found the role, maybe the role isn't existed or internal system error"
NO_USER: Final = "not found the user, maybe the user isn't existed or internal system error"
NO_ENTITY: Final = "the grant entity in the request is nil"

_WORD: Final = "Privilege"
_STORED: Final = frozenset(_WORD + name for names in PRIVILEGES.values() for name in names)
_SPACES: Final = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)
_BREAKS_JSON: Final = re.compile(r'["\\\x00-\x1f]')


@dataclass(frozen=True, slots=True)
class Grantor:
    """The granting user and the privilege; None stands for a message that is not there."""

    user: str | None
    privilege: str | None


@dataclass(frozen=True, slots=True)
class GrantWanted:
    """The grant that a request names; None stands for a message that is not there."""

    role: str | None
    object_type: str | None
    object_name: str
    db_name: str
    grantor: Grantor | None = None


def stored_name(privilege: str) -> str:
    """`PrivilegeInsert` of the `Insert` that users write; `*` stays."""
    return privilege if privilege == ANY else _WORD + privilege


def shown_name(stored: str) -> str:
    """The reverse of `stored_name`; "" for a privilege that 2.2.16 does not know."""
    if stored == ANY:
        return ANY
    return stored.removeprefix(_WORD) if stored in _STORED else ""


def is_blank(name: str) -> bool:
    """Whether nothing is left of it without what Unicode calls white space, as Go trims it."""
    return not name.strip(_SPACES)


def check_new_name(kind: str, name: str) -> None:
    """Whether a new user, role, database or object may bear this name. Raises Refused.

    Proxies let through letters, digits, `_` and `$` alone. Go's RootCoord takes all: a name with a
    slash would be no part of a key, one with a quote would make every proxy fail to read the
    policies, which are JSON put together without escapes.
    """
    check_key_name(kind, name)
    if is_blank(name):
        raise Refused(f"the {kind} name must not be blank")
    if _BREAKS_JSON.search(name):
        raise Refused(f"the {kind} name must not have quotes, backslashes or control characters")


def check_target(role: str, db_name: str, object_name: str) -> None:
    """Whether a role may be granted something on such an object. Raises Refused.

    A dot divides database and object in the key, and Go reads wrong names back when there are more.
    The role is there, but may be one of those that Go lets in.
    """
    check_new_name("role", role)
    for kind, name in (("database", db_name), ("object", object_name)):
        check_new_name(kind, name)
        if "." in name:
            raise Refused(f"the {kind} name must not have dots: {name}")


def why_not(wanted: GrantWanted, known: AccessState) -> str | None:
    """Why nothing can be granted or revoked so, None when it can."""
    return (
        why_not_object(wanted.object_type)
        or why_not_role(wanted.role, known)
        or _why_not_grantor(wanted.grantor, wanted.object_type or "", known)
    )


def why_not_object(object_type: str | None) -> str | None:
    """Why there are no objects of this type."""
    if object_type is None:
        return "the object entity is nil"
    if object_type not in PRIVILEGES:
        supported = " ".join(sorted(PRIVILEGES))
        return (
            f"not found the object type[name: {object_type}],"
            f" supported the object types: [{supported}]"
        )
    return None


def why_not_role(role: str | None, known: AccessState) -> str | None:
    """Why nothing can be asked about this role."""
    if role is None:
        return "the role entity is nil"
    if not role:
        return "the name in the role entity is empty"
    return None if known.has_role(role) else NO_ROLE


def _why_not_grantor(grantor: Grantor | None, object_type: str, known: AccessState) -> str | None:
    if grantor is None:
        return "the grantor entity is nil"
    if grantor.user is None:
        return "the user entity in the grantor entity is nil"
    if not grantor.user:
        return "the name in the user entity of the grantor entity is empty"
    if not known.has_user(grantor.user):
        return NO_USER
    if grantor.privilege is None:
        return "the privilege entity in the grantor entity is nil"
    if grantor.privilege == ANY or grantor.privilege in PRIVILEGES[object_type]:
        return None
    return f"not found the privilege name[{grantor.privilege}]"
