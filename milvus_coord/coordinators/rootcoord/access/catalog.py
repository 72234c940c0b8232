"""Users, roles and grants in etcd: keys and values to events, statements to operations.

All of it is below `<meta>/root-coord/credential/`, and none of it is versioned:

    users/<user>                                            {"encrypted_password":"<bcrypt>"}
    roles/<role>                                            (empty)
    user-role-mapping/<user>/<role>                         (empty)
    grantee-privileges/<role>/<object type>/<db>.<object>   <id>, 16 hex digits
    grantee-id/<id>/<privilege>                             <granting user>
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from collections.abc import Iterable
from typing import Final

from milvus_coord.coordinators.rootcoord.access import events
from milvus_coord.coordinators.rootcoord.access.events import AccessEvent
from milvus_coord.coordinators.rootcoord.access.state_records import Grantee, User
from milvus_coord.etcd.txn import delete, put
from milvus_coord.model.errors import BadValue
from milvus_coord.role.metadata.transactions import Transactions, in_transactions

_ROOM: Final = "root-coord/credential"
_PASSWORD: Final = "encrypted_password"
_GRANTEE_ID_MAX: Final = 256


class AccessCatalog:
    """Reads and builds; sends nothing. `meta_root` is `etcd.rootPath/etcd.metaSubPath`.

    Every builder returns transactions to be sent in this order. Names must have passed
    `rules_privileges.check_new_name`, or be those of something that is there.
    """

    def __init__(self, meta_root: str) -> None:
        self._meta_root = meta_root
        self.prefix = f"{meta_root}/{_ROOM}/".encode()

    def event(self, key: bytes, value: bytes | None) -> AccessEvent | None:
        """The event of a put of `key` with this value, or with None of its deletion.

        None for a key that Go 2.2.16 skips too. Raises BadValue for one that is not UTF-8.
        """
        if not key.startswith(self.prefix):
            return None
        try:
            room, *names = key[len(self.prefix) :].decode().split("/")
        except UnicodeDecodeError as error:
            raise BadValue(f"the key {key!r} is not UTF-8: {error}") from None
        if room == "users":
            name = "/".join(names)  # Go finds users with slashes too
            return _user(name, value) if name else None
        if not all(names):
            return None
        match room, *names:
            case "roles", role:
                return events.RoleDeleted(role) if value is None else events.RolePut(role)
            case "user-role-mapping", user, role:
                if value is None:
                    return events.MappingDeleted(user, role)
                return events.MappingPut(user, role)
            case "grantee-privileges", role, object_type, target:
                return _grantee(Grantee(role, object_type, target), value)
            case "grantee-id", grantee_id, privilege:
                if value is None:
                    return events.PrivilegeDeleted(grantee_id, privilege)
                return events.PrivilegePut(grantee_id, privilege, value.decode(errors="replace"))
            case _:
                return None

    def user_path(self, name: str) -> str:
        """The whole key of a user as Go writes it in texts: like a path, it is cleaned."""
        return posixpath.normpath(f"{self._meta_root}/{_ROOM}/users/{name}")

    @staticmethod
    def role_path(name: str) -> str:
        """The key of a role without the root."""
        return f"{_ROOM}/roles/{name}"

    def put_user(self, name: str, password_hash: str) -> Transactions:
        """The user is there, with this hash."""
        return [(put(self._key("users", name), _user_record(password_hash)),)]

    def drop_user(self, name: str, roles: Iterable[str]) -> Transactions:
        """The user is not there, and has none of `roles`."""
        mappings = (self._key("user-role-mapping", name, role) for role in roles)
        return _deletions([*mappings, self._key("users", name)])

    def create_role(self, name: str, leftovers: Iterable[tuple[str, str]] = ()) -> Transactions:
        """The role is there; `leftovers`, grantee id and privilege, are revoked before it is."""
        return [*self.revoke_all(leftovers), (put(self._key("roles", name), b""),)]

    def drop_role(self, name: str, users: Iterable[str]) -> Transactions:
        """The role is not there, and none of `users` has it."""
        mappings = (self._key("user-role-mapping", user, name) for user in users)
        return _deletions([*mappings, self._key("roles", name)])

    def add_mapping(self, user: str, role: str) -> Transactions:
        """The user has the role."""
        return [(put(self._key("user-role-mapping", user, role), b""),)]

    def remove_mapping(self, user: str, role: str) -> Transactions:
        """The user does not have the role."""
        return [(delete(self._key("user-role-mapping", user, role)),)]

    def file_grantee(self, grantee: Grantee) -> Transactions:
        """The grantee has a place for privileges, under `new_grantee_id`."""
        key = self._key("grantee-privileges", grantee.path)
        return [(put(key, new_grantee_id(grantee).encode()),)]

    def grant(self, grantee_id: str, privilege: str, grantor: str) -> Transactions:
        """The privilege, by its stored name, is held under the id."""
        return [(put(self._key("grantee-id", grantee_id, privilege), grantor.encode()),)]

    def revoke(self, grantee_id: str, privilege: str) -> Transactions:
        """The privilege is not held under the id; as in Go the grantee keeps its place."""
        return [(delete(self._key("grantee-id", grantee_id, privilege)),)]

    def revoke_all(self, held: Iterable[tuple[str, str]]) -> Transactions:
        """None of these privileges is held, each under its grantee's id."""
        return _deletions([self._key("grantee-id", id_, privilege) for id_, privilege in held])

    def _key(self, *names: str) -> bytes:
        return self.prefix + "/".join(names).encode()


def new_grantee_id(grantee: Grantee) -> str:
    """Where privileges of a new grantee go: the middle of the MD5 of its key without the root."""
    key = f"{_ROOM}/grantee-privileges/{grantee.path}"
    return hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()[8:24]


def together(*parts: Transactions) -> Transactions:
    """All parts in one transaction; of equal operations one. They must be few."""
    return [tuple(dict.fromkeys(op for part in parts for ops in part for op in ops))]


def _user(name: str, value: bytes | None) -> AccessEvent:
    if value is None:
        return events.UserDeleted(name)
    return events.UserPut(User(name, _password_hash(value)))


def _password_hash(value: bytes) -> str | None:
    """As Go decodes: the names of fields in any case, the last one counts, null changes nothing."""
    try:
        pairs = json.loads(value, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        return None
    if not isinstance(pairs, _Pairs):
        return None
    found = ""
    for key, text in pairs:
        if key.lower() == _PASSWORD and text is not None:
            if not isinstance(text, str) or _LONE_SURROGATE.search(text):
                return None
            found = text
    return found


def _grantee(grantee: Grantee, value: bytes | None) -> AccessEvent:
    if value is None:
        return events.GranteeDeleted(grantee)
    try:
        grantee_id = value.decode()
    except UnicodeDecodeError:
        grantee_id = ""
    # What can be no part of a key holds nothing; the next grant files the grantee anew.
    usable = "/" not in grantee_id and len(grantee_id) <= _GRANTEE_ID_MAX
    return events.GranteePut(grantee, grantee_id if usable else "")


def _deletions(keys: list[bytes]) -> Transactions:
    return in_transactions((delete(key),) for key in keys)


def _user_record(password_hash: str) -> bytes:
    """The record to the byte as Go's encoding/json writes it; an empty hash is left out."""
    if not password_hash:
        return b"{}"
    text = _TO_ESCAPE.sub(lambda found: _escape(found[0]), password_hash)
    return f'{{"{_PASSWORD}":"{text}"}}'.encode()


def _escape(character: str) -> str:
    return _SHORT_ESCAPES.get(character) or f"\\u{ord(character):04x}"


class _Pairs(list[tuple[str, object]]):
    """The members of a JSON object in their order."""


_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_TO_ESCAPE: Final = re.compile('[\x00-\x1f"\\\\<>&\u2028\u2029]')
_SHORT_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
