"""Statements that change users, roles and grants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeAlias

from milvus_coord.coordinators.rootcoord.access import rules_privileges as privileges
from milvus_coord.coordinators.rootcoord.access.catalog import (
    AccessCatalog,
    new_grantee_id,
    together,
)
from milvus_coord.coordinators.rootcoord.access.rules_privileges import (
    GrantWanted,
    check_new_name,
    check_target,
    is_blank,
)
from milvus_coord.coordinators.rootcoord.access.state import AccessState
from milvus_coord.coordinators.rootcoord.access.state_records import (
    ANY,
    Grantee,
    PolicyOp,
    User,
    policy,
)
from milvus_coord.coordinators.rootcoord.metadata.store import Store
from milvus_coord.coordinators.rootcoord.proxies.work import Proxies
from milvus_coord.model.database import DEFAULT_DATABASE
from milvus_coord.model.errors import CoordError, NotFound, NotServing, Refused
from milvus_coord.role.metadata.transactions import Transactions
from milvus_coord.role.tasks.jobs import Jobs
from milvus_coord.runtime.locks import KeyedLocks
from milvus_coord.telemetry.log import log

P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class AccessLimits:
    """How many users and roles there may be, by the keys of Milvus' configuration."""

    max_users: int  # proxy.maxUserNum
    max_roles: int  # proxy.maxRoleNum, `admin` and `public` count


Method: TypeAlias = "Callable[Concatenate[Access, P], Coroutine[Any, Any, None]]"


def statement(name: str) -> Callable[[Method[P]], Method[P]]:
    """Run the method as a job called `name`, which goes on when its caller has hung up."""

    def as_job(method: Method[P]) -> Method[P]:
        @wraps(method)
        async def run(self: Access, /, *args: P.args, **kwargs: P.kwargs) -> None:
            await self.jobs.run(name, method(self, *args, **kwargs))

        return run

    return as_job


class Access:
    """One term's changes, one at a time, each checked against all that were made before.

    Every method raises NotServing when the term is over, Refused in the words of Go 2.2.16, and
    other CoordErrors for trouble in etcd. Passwords come in hashed, and no hash is ever logged.
    """

    def __init__(
        self,
        store: Store,
        catalog: AccessCatalog,
        jobs: Jobs,
        proxies: Proxies,
        limits: AccessLimits,
    ) -> None:
        self._store, self._catalog = store, catalog
        self.jobs, self._proxies, self._limits = jobs, proxies, limits
        # A password first, then the change: from a change no way leads to a password. While one
        # statement changes a password and tells the proxies, no other may: they would end up with
        # an older one, or with that of a user who is gone.
        self._passwords: KeyedLocks[str] = KeyedLocks()
        self._change = asyncio.Lock()

    @property
    def state(self) -> AccessState:
        """The stored users, roles and grants; read it again after each await. Raises NotServing."""
        return self._store.current.access

    def password_hash(self, name: str) -> str:
        """The stored hash of a password. Raises NotFound, CoordError for a damaged record."""
        user = self.state.user(name)
        if user is None:
            raise NotFound(f"there is no value on key = {self._catalog.user_path(name)}")
        if user.password_hash is None:
            raise CoordError(f"unmarshal credential info err:the record of {name} is damaged")
        return user.password_hash

    @statement("CreateCredential")
    async def create_user(self, name: str, password_hash: str, sha256_password: str) -> None:
        """Add a user; that a proxy could not be told is no failure, it will ask."""
        user = User(name, password_hash)
        if not user.name:
            raise Refused("username is empty")
        async with self._passwords.hold(name):
            async with self._changing():
                if self.state.user_count >= self._limits.max_users:
                    raise Refused(
                        "unable to add user because the number of users has reached the limit"
                    )
                if self.state.has_user(user.name):
                    raise Refused(f"user already exists: {user.name}")
                await self._put_user(user)
            log.info("user created", username=user.name)
            try:
                await self._tell_password(user.name, sha256_password)
            except CoordError as error:
                log.warn("proxies not told of the new user", username=user.name, error=str(error))

    @statement("UpdateCredential")
    async def update_user(self, name: str, password_hash: str, sha256_password: str) -> None:
        """Set a user's password, as in Go also that of a user who is not there yet."""
        user = User(name, password_hash)
        if not user.name:
            raise Refused("username is empty")
        async with self._passwords.hold(name):
            async with self._changing():
                await self._put_user(user)
            log.info("password changed", username=user.name)
            await self._tell_password(user.name, sha256_password)

    async def _tell_password(self, name: str, sha256_password: str) -> None:
        try:
            await self._proxies.update_credential(name, sha256_password)
        except CoordError:
            # Unlike Go: a proxy that missed it must not go on to accept the former password.
            self._proxies.invalidate_credential_later(name)
            raise

    async def _put_user(self, user: User) -> None:
        if not self.state.has_user(user.name):
            check_new_name("user", user.name)
        try:
            await self._store.write(
                self._catalog.put_user(user.name, user.password_hash or ""),
                applied=lambda state: state.access.user(user.name) == user,
            )
        except CoordError:
            self._proxies.invalidate_credential_later(user.name)
            raise

    @statement("DeleteCredential")
    async def delete_user(self, name: str) -> None:
        """Take a user and his roles away, if he is there, and the privileges on him."""
        failed = "fail to execute task when deleting the user"
        if is_blank(name):
            raise Refused(failed)
        async with self._passwords.hold(name), self._changing(failed, username=name):
            try:
                if self.state.has_user(name) or self.state.roles_of(name):
                    ended = self.state.grants_on(
                        lambda grantee: (
                            grantee.object_type == privileges.USER and grantee.object_name == name
                        )
                    )
                    held = [(self.state.grantee_id(g.grantee), g.privilege) for g in ended]
                    await self._write(
                        [
                            *self._catalog.revoke_all(held),
                            *self._catalog.drop_user(name, self.state.roles_of(name)),
                        ],
                        lambda access: not access.has_user(name) and not access.roles_of(name),
                    )
                    log.info("user deleted", username=name)
                    for grant in ended:
                        self._tell(PolicyOp.REVOKE, grant.policy)
            finally:
                self._proxies.invalidate_credential_later(name)
            self._tell(PolicyOp.DELETE_USER, name)

    @statement("CreateRole")
    async def create_role(self, name: str) -> None:
        """Add a role, with no privileges: what an earlier one of this name left is revoked first.

        Go 2.2.16 lets the new one have it.
        """
        if is_blank(name):
            raise Refused("the role name in the role info is empty")
        async with self._changing():
            if self.state.role_count >= self._limits.max_roles:
                raise Refused(
                    "unable to create role because the number of roles has reached the limit"
                )
            if self.state.has_role(name):
                raise Refused(f"the key[{self._catalog.role_path(name)}] has existed")
            check_new_name("role", name)
            left = [
                (self.state.grantee_id(g.grantee), g.privilege) for g in self.state.grants_of(name)
            ]
            await self._write(
                self._catalog.create_role(name, left),
                lambda access: access.has_role(name) and not access.grants_of(name),
            )
            log.info("role created", role=name)

    @statement("DropRole")
    async def drop_role(self, name: str) -> None:
        """Take a role away, also from its users.

        Its privileges must be revoked first, in all databases; Go 2.2.16 looks at `default` alone,
        and a new role of that name has those in others.
        """
        async with self._changing("fail to execute task when dropping the role", role=name):
            if not self.state.has_role(name):
                raise Refused(privileges.NO_ROLE)
            if self.state.grants_of(name):
                raise Refused(
                    "fail to drop the role that it has privileges."
                    " Use REVOKE API to revoke privileges"
                )
            await self._write(
                self._catalog.drop_role(name, self.state.users_of(name)),
                lambda access: not access.has_role(name),
            )
            log.info("role dropped", role=name)
            self._tell(PolicyOp.DROP_ROLE, name)

    @statement("OperateUserRole")
    async def operate_user_role(self, user: str, role: str, operation: int) -> None:
        """Give a user a role (0) or take it away (1), if that is not so already."""
        failed = "fail to execute task when operate the user and role"
        async with self._changing(failed, username=user, role=role):
            if not self.state.has_role(role):
                raise Refused(privileges.NO_ROLE)
            if operation != 1 and not self.state.has_user(user):
                raise Refused(privileges.NO_USER)
            if operation not in (0, 1) or is_blank(user):
                raise Refused(failed)
            if operation == 0:
                await self._add_to_role(user, role)
                self._tell(PolicyOp.ADD_USER_TO_ROLE, f"{user}/{role}")
            else:
                await self._remove_from_role(user, role)
                self._tell(PolicyOp.REMOVE_USER_FROM_ROLE, f"{user}/{role}")

    async def _add_to_role(self, user: str, role: str) -> None:
        if self.state.has_mapping(user, role):
            return
        check_new_name("user", user)  # one that Go has let in must not break a key in two
        await self._write(
            self._catalog.add_mapping(user, role), lambda access: access.has_mapping(user, role)
        )
        log.info("user added to role", username=user, role=role)

    async def _remove_from_role(self, user: str, role: str) -> None:
        if not self.state.has_mapping(user, role):
            return
        await self._write(
            self._catalog.remove_mapping(user, role),
            lambda access: not access.has_mapping(user, role),
        )
        log.info("user removed from role", username=user, role=role)

    @statement("OperatePrivilege")
    async def operate_privilege(self, wanted: GrantWanted, operation: PolicyOp) -> None:
        """Let a role do something (GRANT) or not any more (REVOKE), if that is not so already."""
        failed = "fail to execute task when operating the privilege"
        async with self._changing(failed, role=wanted.role):
            reason = privileges.why_not(wanted, self.state)
            if reason is not None:
                raise Refused(reason)
            object_name = ANY if wanted.object_type == privileges.GLOBAL else wanted.object_name
            if is_blank(object_name):
                raise Refused(failed)
            role, object_type = wanted.role or "", wanted.object_type or ""
            db_name = wanted.db_name or DEFAULT_DATABASE
            named = Grantee.of(role, object_type, db_name, object_name)
            found = self.state.find_grantee(role, object_type, db_name, object_name)
            grantor, asked = _grantor(wanted)
            privilege = privileges.stored_name(asked)
            if operation is PolicyOp.GRANT:
                check_target(role, db_name, object_name)
                await self._grant(found or named, privilege, grantor)
            elif found is not None:
                await self._revoke(found, privilege)
            self._tell(operation, policy(named, privilege))

    async def _grant(self, grantee: Grantee, privilege: str, grantor: str) -> None:
        grantee_id = self.state.grantee_id(grantee)
        if self.state.has_privilege(grantee_id, privilege):
            return
        steps = [] if grantee_id else [self._catalog.file_grantee(grantee)]
        grantee_id = grantee_id or new_grantee_id(grantee)
        await self._write(
            together(*steps, self._catalog.grant(grantee_id, privilege, grantor)),
            lambda access: (
                access.grantee_id(grantee) == grantee_id
                and access.has_privilege(grantee_id, privilege)
            ),
        )
        log.info("privilege granted", to=grantee.path, privilege=privilege, grantor=grantor)

    async def _revoke(self, grantee: Grantee, privilege: str) -> None:
        grantee_id = self.state.grantee_id(grantee)
        if not self.state.has_privilege(grantee_id, privilege):
            return
        await self._write(
            self._catalog.revoke(grantee_id, privilege),
            lambda access: not access.has_privilege(grantee_id, privilege),
        )
        log.info("privilege revoked", to=grantee.path, privilege=privilege)

    @asynccontextmanager
    async def _changing(self, failed: str = "", **about: object) -> AsyncIterator[None]:
        """No other change is made until the block ends.

        `failed` is what Go 2.2.16 answers to all trouble in etcd; the log tells the cause and what
        it is `about`.
        """
        async with self._change:
            try:
                yield
            except (NotServing, Refused):
                raise
            except CoordError as error:
                if not failed:
                    raise
                log.warn(failed, error=str(error), **about)
                raise CoordError(failed) from error

    async def _write(
        self, transactions: Transactions, applied: Callable[[AccessState], bool]
    ) -> None:
        try:
            await self._store.write(transactions, applied=lambda state: applied(state.access))
        except CoordError:
            # It may have been applied after all: let the proxies read what there is.
            self._tell(PolicyOp.EVERYTHING, "")
            raise

    def _tell(self, operation: PolicyOp, key: str) -> None:
        self._proxies.refresh_policy_later(operation, key)


def _grantor(wanted: GrantWanted) -> tuple[str, str]:
    """User and privilege of a request that has been checked."""
    assert wanted.grantor is not None
    return wanted.grantor.user or "", wanted.grantor.privilege or ""
