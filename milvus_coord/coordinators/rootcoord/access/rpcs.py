"""RPCs about users, roles and privileges."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from milvus_coord.coordinators.rootcoord.access.rules_privileges import (
    NO_ENTITY,
    Grantor,
    GrantWanted,
    shown_name,
)
from milvus_coord.coordinators.rootcoord.access.rules_queries import (
    select_grants,
    select_roles,
    select_users,
)
from milvus_coord.coordinators.rootcoord.access.state_records import Grant, PolicyOp
from milvus_coord.coordinators.rootcoord.access.work import Access
from milvus_coord.model.errors import Refused
from milvus_coord.pb.milvus.proto import internal, milvus, rootcoord
from milvus_coord.pb.milvus.proto.common import ErrorCode, Status
from milvus_coord.role.rpcs.answers import answers
from milvus_coord.role.rpcs.family import Answering, RpcFamily
from milvus_coord.wire.codec import encoded
from milvus_coord.wire.descriptors import message_class
from milvus_coord.wire.requests import UpbRequest
from milvus_coord.wire.status import ok

_OPERATIONS: Final = {0: PolicyOp.GRANT, 1: PolicyOp.REVOKE}
"""Numbers of `milvus.proto.milvus.OperatePrivilegeType`."""


class AccessRpcs(RpcFamily):
    """Passwords pass through as the hashes that proxies made of them."""

    def __init__(self, answering: Answering, access: Access) -> None:
        super().__init__(answering)
        self._access = access

    @answers("CreateCredential failed: ", code=ErrorCode.CreateCredentialFailure)
    async def create_credential(self, request: UpbRequest) -> Status:
        await self._access.create_user(
            request.username, request.encrypted_password, request.sha256_password
        )
        return ok()

    @answers("UpdateCredential failed: ", code=ErrorCode.UpdateCredentialFailure)
    async def update_credential(self, request: UpbRequest) -> Status:
        await self._access.update_user(
            request.username, request.encrypted_password, request.sha256_password
        )
        return ok()

    @answers(code=ErrorCode.DeleteCredentialFailure)
    async def delete_credential(self, request: UpbRequest) -> Status:
        await self._access.delete_user(request.username)
        return ok()

    @answers("ListCredUsers failed: ", code=ErrorCode.ListCredUsersFailure)
    async def list_cred_users(self, request: UpbRequest) -> milvus.ListCredUsersResponse:
        return milvus.ListCredUsersResponse(status=ok(), usernames=list(self._access.state.users()))

    @answers("GetCredential failed: ", code=ErrorCode.GetCredentialFailure)
    async def get_credential(self, request: UpbRequest) -> rootcoord.GetCredentialResponse:
        password_hash = self._access.password_hash(request.username)
        return rootcoord.GetCredentialResponse(
            status=ok(), username=request.username, password=password_hash
        )

    @answers("fail to create role, error: ", code=ErrorCode.CreateRoleFailure)
    async def create_role(self, request: UpbRequest) -> Status:
        await self._access.create_role(_name(request, "entity") or "")
        return ok()

    @answers(code=ErrorCode.DropRoleFailure)
    async def drop_role(self, request: UpbRequest) -> Status:
        await self._access.drop_role(request.role_name)
        return ok()

    @answers(code=ErrorCode.OperateUserRoleFailure)
    async def operate_user_role(self, request: UpbRequest) -> Status:
        await self._access.operate_user_role(request.username, request.role_name, request.type)
        return ok()

    @answers(code=ErrorCode.SelectRoleFailure)
    async def select_role(self, request: UpbRequest) -> milvus.SelectRoleResponse:
        state = self._access.state
        users_of = state.users_of if request.include_user_info else _nobody
        results = [
            milvus.RoleResult(
                role=milvus.RoleEntity(name=role),
                users=[milvus.UserEntity(name=user) for user in users_of(role)],
            )
            for role in select_roles(state, _name(request, "role"))
        ]
        return milvus.SelectRoleResponse(status=ok(), results=results)

    @answers(code=ErrorCode.SelectUserFailure)
    async def select_user(self, request: UpbRequest) -> milvus.SelectUserResponse:
        state = self._access.state
        roles_of = state.roles_of if request.include_role_info else _nobody
        results = [
            milvus.UserResult(
                user=milvus.UserEntity(name=user),
                roles=[milvus.RoleEntity(name=role) for role in roles_of(user)],
            )
            for user in select_users(state, _name(request, "user"))
        ]
        return milvus.SelectUserResponse(status=ok(), results=results)

    @answers(code=ErrorCode.OperatePrivilegeFailure)
    async def operate_privilege(self, request: UpbRequest) -> Status:
        operation = _OPERATIONS.get(request.type)
        if operation is None:
            raise Refused(
                f"invalid operate privilege type, current type: {request.type},"
                " valid value: [Grant, Revoke]"
            )
        await self._access.operate_privilege(_wanted(request), operation)
        return ok()

    @answers(code=ErrorCode.SelectGrantFailure)
    async def select_grant(self, request: UpbRequest) -> milvus.SelectGrantResponse:
        grants = select_grants(self._access.state, _wanted(request))
        return encoded(_grants_reply(grants), milvus.SelectGrantResponse)

    @answers(code=ErrorCode.ListPolicyFailure)
    async def list_policy(self, request: UpbRequest) -> internal.ListPolicyResponse:
        state = self._access.state
        reply: Any = message_class("milvus.proto.internal.ListPolicyResponse")()
        reply.policy_infos.extend(grant.policy for grant in state.grants())
        reply.user_roles.extend(state.mappings())
        return encoded(reply, internal.ListPolicyResponse)


def _nobody(_: str) -> tuple[str, ...]:
    return ()


def _name(message: UpbRequest, field: str) -> str | None:
    """The name in a RoleEntity, UserEntity and their like; None when the message is not there."""
    return str(getattr(message, field).name) if message.HasField(field) else None


def _wanted(request: UpbRequest) -> GrantWanted:
    if not request.HasField("entity"):
        raise Refused(NO_ENTITY)
    entity, grantor = request.entity, request.entity.grantor
    return GrantWanted(
        role=_name(entity, "role"),
        object_type=_name(entity, "object"),
        object_name=entity.object_name,
        db_name=entity.db_name,
        grantor=Grantor(_name(grantor, "user"), _name(grantor, "privilege"))
        if entity.HasField("grantor")
        else None,
    )


def _grants_reply(grants: Iterable[Grant]) -> Any:
    reply: Any = message_class("milvus.proto.milvus.SelectGrantResponse")()
    for grant in grants:
        grantee = grant.grantee
        entity = reply.entities.add(object_name=grantee.object_name, db_name=grantee.db_name)
        entity.role.name = grantee.role
        entity.object.name = grantee.object_type
        entity.grantor.user.name = grant.grantor
        entity.grantor.privilege.name = shown_name(grant.privilege)
    return reply
