"""What every Milvus has: the user root, the roles admin and public, and what public may do."""

from __future__ import annotations

import asyncio
from typing import Final

import bcrypt

from milvus_coord.coordinators.rootcoord.access.catalog import (
    AccessCatalog,
    new_grantee_id,
    together,
)
from milvus_coord.coordinators.rootcoord.access.rules_privileges import PUBLIC_GRANTS, stored_name
from milvus_coord.coordinators.rootcoord.access.state import AccessState
from milvus_coord.coordinators.rootcoord.access.state_records import (
    ADMIN_ROLE,
    ANY,
    PUBLIC_ROLE,
    ROOT_USER,
    Grantee,
)
from milvus_coord.coordinators.rootcoord.metadata.state import MetaState
from milvus_coord.coordinators.rootcoord.metadata.store import Store
from milvus_coord.role.metadata.transactions import Transactions
from milvus_coord.telemetry.log import log

_ROOT_PASSWORD: Final = b"Milvus"
_BCRYPT_COST: Final = 4


async def write_defaults(store: Store, catalog: AccessCatalog) -> None:
    """Write what is missing, in one transaction; at activation, before anybody is served.

    Go 2.2.16 fails here when there are as many roles as `proxy.maxRoleNum` allows, and cannot
    start any more; the limits are for users and do not count here. A damaged record of root is
    left to be repaired: root must not get the default password back by an accident.
    Raises CoordError.
    """
    access = store.state.access
    root = access.user(ROOT_USER)
    missing = [*_missing_roles(access, catalog), *_missing_grants(access, catalog)]
    if root is None:
        missing.append(catalog.put_user(ROOT_USER, await _bcrypt(_ROOT_PASSWORD)))
    elif root.password_hash is None:
        log.error("the record of user root is damaged, he can log in when his password is set anew")
    if missing:
        await store.write(together(*missing), applied=lambda state: _is_complete(state, catalog))
        log.info("default users, roles and grants written", root_is_new=root is None)


def _is_complete(state: MetaState, catalog: AccessCatalog) -> bool:
    access = state.access
    return access.has_user(ROOT_USER) and not [
        *_missing_roles(access, catalog),
        *_missing_grants(access, catalog),
    ]


def _missing_roles(access: AccessState, catalog: AccessCatalog) -> list[Transactions]:
    return [
        catalog.create_role(role) for role in (ADMIN_ROLE, PUBLIC_ROLE) if not access.has_role(role)
    ]


def _missing_grants(access: AccessState, catalog: AccessCatalog) -> list[Transactions]:
    missing: list[Transactions] = []
    for object_type, names in PUBLIC_GRANTS.items():
        grantee = Grantee.of(PUBLIC_ROLE, object_type, ANY, ANY)
        grantee_id = access.grantee_id(grantee)
        if not grantee_id:
            grantee_id = new_grantee_id(grantee)
            missing.append(catalog.file_grantee(grantee))
        missing += [
            catalog.grant(grantee_id, stored_name(name), ROOT_USER)
            for name in names
            if not access.has_privilege(grantee_id, stored_name(name))
        ]
    return missing


async def _bcrypt(password: bytes) -> str:
    """The hash in the form that Go's proxies make, `$2a$04$...`; it takes a while, in a thread."""
    salt = bcrypt.gensalt(_BCRYPT_COST, prefix=b"2a")
    return (await asyncio.to_thread(bcrypt.hashpw, password, salt)).decode()
