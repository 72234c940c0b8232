"""Users, roles, and what roles may do."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from milvus_coord.model.database import DEFAULT_DATABASE

ROOT_USER: Final = "root"
ADMIN_ROLE: Final = "admin"
PUBLIC_ROLE: Final = "public"
ANY: Final = "*"
"""Any privilege, any object, any database."""


class PolicyOp(IntEnum):
    """The kinds of changes that a proxy is told of; `opType` of RefreshPolicyInfoCache."""

    ADD_USER_TO_ROLE = 1
    REMOVE_USER_FROM_ROLE = 2
    GRANT = 3
    REVOKE = 4
    DELETE_USER = 5
    DROP_ROLE = 6
    EVERYTHING = 7


@dataclass(frozen=True, slots=True)
class User:
    """`password_hash` is bcrypt's text as a proxy made it, None when the record is damaged."""

    name: str
    password_hash: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Grantee:
    """A role and an object, which together hold privileges.

    `object_type` is a name of `milvus.proto.common.ObjectType`. `target` is `<db>.<object>`; one
    without a dot is an object of the database `default`, from before there were databases.
    """

    role: str
    object_type: str
    target: str

    @classmethod
    def of(cls, role: str, object_type: str, db_name: str, object_name: str) -> Grantee:
        """The grantee as 2.2.16 writes it; `db_name` "" means `default`."""
        return cls(role, object_type, f"{db_name or DEFAULT_DATABASE}.{object_name}")

    @property
    def path(self) -> str:
        """The tail of its key; sorts as etcd sorts the keys."""
        return f"{self.role}/{self.object_type}/{self.target}"

    @property
    def db_name(self) -> str:
        """The database of the object."""
        return self.target.partition(".")[0] if "." in self.target else DEFAULT_DATABASE

    @property
    def object_name(self) -> str:
        """The object's own name; of a target with more dots the middle part, as Go reads it."""
        return self.target.split(".")[1] if "." in self.target else self.target


@dataclass(frozen=True, slots=True)
class Grant:
    """One privilege of a grantee, by its stored name (`PrivilegeInsert` or `*`)."""

    grantee: Grantee
    privilege: str
    grantor: str

    @property
    def policy(self) -> str:
        """The grant as the proxies keep it."""
        return policy(self.grantee, self.privilege)


def policy(grantee: Grantee, privilege: str) -> str:
    """A privilege, by its stored name, in the words that the proxies compare."""
    resource = f"{grantee.object_type}-{grantee.db_name}.{grantee.object_name}"
    return f'{{"PType":"p","V0":"{grantee.role}","V1":"{resource}","V2":"{privilege}"}}'
