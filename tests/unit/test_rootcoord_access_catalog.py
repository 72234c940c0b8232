"""Keys and values of access control, against what Go 2.2.16 writes and skips."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milvus_coord.coordinators.rootcoord.access import events
from milvus_coord.coordinators.rootcoord.access.catalog import AccessCatalog, new_grantee_id
from milvus_coord.coordinators.rootcoord.access.state_records import Grant, Grantee, User
from milvus_coord.etcd.txn import MAX_OPS, Delete, Put
from milvus_coord.model.errors import BadValue
from testing.access import ROOM
from testing.metadata import META_ROOT

CATALOG = AccessCatalog(META_ROOT)


@pytest.mark.parametrize(
    ("path", "grantee_id"),
    [
        ("public/Global/*.*", "250dd41b686083b0"),
        ("public/Collection/*.*", "e03326696e8a3b16"),
    ],
)
def test_grantee_ids_seen_at_go(path: str, grantee_id: str) -> None:
    role, object_type, target = path.split("/")
    assert new_grantee_id(Grantee(role, object_type, target)) == grantee_id


EVENTS = [
    ("users/ann", b'{"encrypted_password":"h"}', events.UserPut(User("ann", "h"))),
    ("users/ann", None, events.UserDeleted("ann")),
    ("users/a/b", b"{}", events.UserPut(User("a/b", ""))),
    ("users", b"{}", None),
    ("users/", b"{}", None),
    ("roles/r", b"", events.RolePut("r")),
    ("roles/r", b"anything", events.RolePut("r")),
    ("roles/r", None, events.RoleDeleted("r")),
    ("roles/a/b", b"", None),
    ("roles/", b"", None),
    ("user-role-mapping/ann/r", b"", events.MappingPut("ann", "r")),
    ("user-role-mapping/ann/r", None, events.MappingDeleted("ann", "r")),
    ("user-role-mapping/ann", b"", None),
    ("user-role-mapping//r", b"", None),
    ("user-role-mapping/a/b/r", b"", None),
    (
        "grantee-privileges/r/Collection/db.c",
        b"0123456789abcdef",
        events.GranteePut(Grantee("r", "Collection", "db.c"), "0123456789abcdef"),
    ),
    (
        "grantee-privileges/r/Collection/c",
        None,
        events.GranteeDeleted(Grantee("r", "Collection", "c")),
    ),
    ("grantee-privileges/r/Collection", b"x", None),
    (
        "grantee-id/0123456789abcdef/PrivilegeLoad",
        b"root",
        events.PrivilegePut("0123456789abcdef", "PrivilegeLoad", "root"),
    ),
    (
        "grantee-id/0123456789abcdef/*",
        b"\xff",
        events.PrivilegePut("0123456789abcdef", "*", "\ufffd"),
    ),
    ("grantee-id/0123456789abcdef/*", None, events.PrivilegeDeleted("0123456789abcdef", "*")),
    ("grantee-id/0123456789abcdef", b"root", None),
    ("something-else/x", b"", None),
    ("", b"", None),
]


@pytest.mark.parametrize(("key", "value", "event"), EVENTS)
def test_what_keys_mean(key: str, value: bytes | None, event: events.AccessEvent | None) -> None:
    assert CATALOG.event(f"{ROOM}{key}".encode(), value) == event


def test_keys_that_are_none_of_ours() -> None:
    assert CATALOG.event(b"by-dev/meta/root-coord/credentials/roles/r", b"") is None
    with pytest.raises(BadValue, match="not UTF-8"):
        CATALOG.event(ROOM.encode() + b"roles/\xff", b"")


@pytest.mark.parametrize(
    ("value", "password_hash"),
    [
        (b'{"username":"x","encrypted_password":"h","is_super":true}', "h"),
        (b'{"Encrypted_Password":"h"}', "h"),
        (b'{"encrypted_password":"a","ENCRYPTED_PASSWORD":"b"}', "b"),
        (b'{"encrypted_password":"a","encrypted_password":null}', "a"),
        (b'{"encrypted_password":null}', ""),
        (b'{"encrypted_password":"\\u003c\xc3\xa9"}', "<é"),
        (b"{}", ""),
        (b"", None),
        (b"junk", None),
        (b"[]", None),
        (b'"h"', None),
        (b'{"encrypted_password":7}', None),
        (b'{"encrypted_password":["h"]}', None),
        (b'{"encrypted_password":"\\ud800"}', None),
        (b'{"encrypted_password":"h"', None),
        (b'{"encrypted_password":"\xff"}', None),
        (b"[" * 100_000, None),
        (b'{"a":' * 100_000, None),
    ],
)
def test_records_of_users(value: bytes, password_hash: str | None) -> None:
    event = CATALOG.event(f"{ROOM}users/ann".encode(), value)
    assert event == events.UserPut(User("ann", password_hash))


@pytest.mark.parametrize(
    ("password_hash", "record"),
    [
        ("$2a$04$a/b.c", b'{"encrypted_password":"$2a$04$a/b.c"}'),
        ("", b"{}"),
        ('a"b\\c', b'{"encrypted_password":"a\\"b\\\\c"}'),
        ("<&>", b'{"encrypted_password":"\\u003c\\u0026\\u003e"}'),
        ("\n\r\t\b\f\x01\x7f", b'{"encrypted_password":"\\n\\r\\t\\u0008\\u000c\\u0001\x7f"}'),
        ("é\u2028\u2029", b'{"encrypted_password":"\xc3\xa9\\u2028\\u2029"}'),
    ],
)
def test_records_are_written_as_go_does(password_hash: str, record: bytes) -> None:
    assert CATALOG.put_user("ann", password_hash) == [(Put(f"{ROOM}users/ann".encode(), record),)]


@given(st.text())
def test_every_password_is_read_back(password_hash: str) -> None:
    ((op,),) = CATALOG.put_user("ann", password_hash)
    assert isinstance(op, Put)
    assert json.loads(op.value).get("encrypted_password", "") == password_hash
    assert CATALOG.event(op.key, op.value) == events.UserPut(User("ann", password_hash))


@given(st.binary(), st.binary() | st.none())
def test_any_bytes_are_taken(rest: bytes, value: bytes | None) -> None:
    for room in (b"", b"users/", b"roles/", b"grantee-id/", b"grantee-privileges/a/b/"):
        key = ROOM.encode() + room + rest
        try:
            event = CATALOG.event(key, value)
        except BadValue:
            assert not _is_text(key)
        else:
            assert event is None or isinstance(event, events.AccessEvent)


@pytest.mark.parametrize("count", [0, 1, 127, 128, 129, 300])
def test_the_role_goes_last(count: int) -> None:
    transactions = CATALOG.drop_role("r", (f"u{n}" for n in range(count)))
    assert max(map(len, transactions)) <= MAX_OPS
    ops = [op for transaction in transactions for op in transaction]
    assert len(set(ops)) == count + 1
    assert ops[-1] == Delete(f"{ROOM}roles/r".encode())


@pytest.mark.parametrize(
    ("target", "db_name", "object_name"),
    [
        ("db.c", "db", "c"),
        ("*.*", "*", "*"),
        ("c", "default", "c"),
        ("a.b.c", "a", "b"),
        (".c", "", "c"),
    ],
)
def test_targets_are_read_as_go_reads_them(target: str, db_name: str, object_name: str) -> None:
    grantee = Grantee("r", "Collection", target)
    assert (grantee.db_name, grantee.object_name) == (db_name, object_name)


def test_policies_name_the_database() -> None:
    grants = [
        Grant(Grantee("r", "Collection", target), "*", "root") for target in ("c", "default.c")
    ]
    for grant in grants:
        assert grant.policy == '{"PType":"p","V0":"r","V1":"Collection-default.c","V2":"*"}'


def _is_text(key: bytes) -> bool:
    try:
        key.decode()
    except UnicodeDecodeError:
        return False
    return True
