"""What the twins are asked about users, roles and privileges."""

from __future__ import annotations

from typing import Any, Final

from testing.cluster_talk import Talk

NO: Final = {"error_code": 1, "reason": "not today"}
ADD, REMOVE = 0, 1
GRANT, REVOKE = 0, 1


async def users(talk: Talk) -> None:
    for case, user in {"new": "ann", "there": "ann", "unnamed": "", "second": "bob"}.items():
        hidden = {"encrypted_password": "$2a$04$secret", "sha256_password": "5e"}
        await talk.ask(case, "CreateCredential", username=user, **hidden)
    await talk.ask("there", "GetCredential", username="ann")
    await talk.ask("unknown", "GetCredential", username="nobody")
    changed = {"encrypted_password": "$2a$04$other", "sha256_password": "6f"}
    await talk.ask("there", "UpdateCredential", username="ann", **changed)
    await talk.ask("changed", "GetCredential", username="ann")
    await talk.ask("unknown", "UpdateCredential", username="cid", **changed)
    with talk.peers.answering("proxy.Proxy/UpdateCredentialCache", **NO):
        await talk.ask("a proxy refuses", "UpdateCredential", username="ann", **changed)
        await talk.ask("a proxy refuses", "CreateCredential", username="dan", **changed)
    await talk.ask("all", "ListCredUsers")
    await talk.ask("there", "DeleteCredential", username="cid")
    await talk.ask("gone", "DeleteCredential", username="cid")
    await talk.ask("unnamed", "DeleteCredential", username="")
    await talk.ask("fewer", "ListCredUsers")


async def roles(talk: Talk) -> None:
    for case, role in {"new": "reader", "there": "reader", "blank": " ", "second": "idle"}.items():
        await talk.ask(case, "CreateRole", entity={"name": role})
    for case, user, role, kind in (
        ("new", "ann", "reader", ADD),
        ("twice", "ann", "reader", ADD),
        ("second", "bob", "reader", ADD),
        ("unknown role", "ann", "none", ADD),
        ("unknown user", "nobody", "reader", ADD),
        ("away", "bob", "reader", REMOVE),
        ("away twice", "bob", "reader", REMOVE),
        ("away, unknown user", "nobody", "reader", REMOVE),
        ("no such type", "ann", "reader", 7),
    ):
        await talk.ask(case, "OperateUserRole", username=user, role_name=role, type=kind)


async def privileges(talk: Talk) -> None:
    for case, entity in {
        "new": grant("reader", "Collection", "books", "Query"),
        "twice": grant("reader", "Collection", "books", "Query"),
        "everything": grant("reader", "Collection", "*", "*"),
        "global": grant("reader", "Global", "books", "CreateCollection"),
        "of a user": grant("reader", "User", "ann", "UpdateUser"),
        "elsewhere": grant("reader", "Collection", "books", "Search", db_name="attic"),
        "unknown object": grant("reader", "Planet", "books", "Query"),
        "unknown role": grant("none", "Collection", "books", "Query"),
        "unnamed role": grant("", "Collection", "books", "Query"),
        "unknown privilege": grant("reader", "Collection", "books", "Fly"),
        "privilege of another": grant("reader", "Collection", "books", "CreateCollection"),
        "unknown grantor": grant("reader", "Collection", "books", "Query", grantor="nobody"),
        "unnamed grantor": grant("reader", "Collection", "books", "Query", grantor=""),
    }.items():
        await talk.ask(case, "OperatePrivilege", entity=entity, type=GRANT)
    whole = grant("reader", "Collection", "books", "Query")
    await talk.ask("nothing", "OperatePrivilege")
    for part in ("role", "object", "grantor"):
        rest = {key: value for key, value in whole.items() if key != part}
        await talk.ask(f"no {part}", "OperatePrivilege", entity=rest)
    no_privilege = whole | {"grantor": {"user": {"name": "root"}}}
    await talk.ask("no privilege", "OperatePrivilege", entity=no_privilege)
    await talk.ask("no such type", "OperatePrivilege", entity=whole, type=7)

    for case, entity in {
        "there": grant("reader", "User", "ann", "UpdateUser"),
        "twice": grant("reader", "User", "ann", "UpdateUser"),
        "never there": grant("reader", "Collection", "books", "Insert"),
        "unknown object name": grant("reader", "Collection", "none", "Insert"),
    }.items():
        await talk.ask(f"away, {case}", "OperatePrivilege", entity=entity, type=REVOKE)


async def questions(talk: Talk) -> None:
    """Nothing is changed."""
    await talk.ask("all", "ListCredUsers")
    await talk.ask("ann", "GetCredential", username="ann")
    for who in ({}, {"name": "reader"}, {"name": "none"}, {"name": ""}):
        named = {"role": who} if who else {}
        await talk.ask(f"{who}", "SelectRole", **named)
        await talk.ask(f"{who}, users", "SelectRole", **named, include_user_info=True)
    for who in ({}, {"name": "ann"}, {"name": "nobody"}, {"name": ""}):
        named = {"user": who} if who else {}
        await talk.ask(f"{who}", "SelectUser", **named)
        await talk.ask(f"{who}, roles", "SelectUser", **named, include_role_info=True)
    reader = {"role": {"name": "reader"}}
    for case, entity in {
        "of a role": reader,
        "of a role elsewhere": reader | {"db_name": "attic"},
        "one": reader | {"object": {"name": "Collection"}, "object_name": "books"},
        "none": reader | {"object": {"name": "Collection"}, "object_name": "films"},
        "object only": reader | {"object": {"name": "Collection"}},
        "unknown object": reader | {"object": {"name": "Planet"}, "object_name": "books"},
        "unknown role": {"role": {"name": "none"}},
        "no role": {"object": {"name": "Collection"}},
        "public": {"role": {"name": "public"}},
    }.items():
        await talk.ask(case, "SelectGrant", entity=entity)
    await talk.ask("nothing", "SelectGrant")
    await talk.ask("all", "ListPolicy")


async def role_drops(talk: Talk) -> None:
    for case, role in {"with grants": "reader", "unknown": "none", "idle": "idle"}.items():
        await talk.ask(case, "DropRole", role_name=role)


def grant(
    role: str, kind: str, name: str, privilege: str, *, grantor: str = "root", db_name: str = ""
) -> dict[str, Any]:
    """A GrantEntity."""
    return {
        "role": {"name": role},
        "object": {"name": kind},
        "object_name": name,
        "grantor": {"user": {"name": grantor}, "privilege": {"name": privilege}},
        "db_name": db_name,
    }
