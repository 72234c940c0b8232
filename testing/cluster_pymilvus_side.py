"""The process that runs pymilvus: does what the tests ask for over a connection, with plain values.

    python -S cluster_pymilvus_side.py PORT      (PYTHONPATH: where pymilvus is installed)

One line of JSON in, `{"id", "call", "args", "kwargs"}`; one out, `{"id", "result"}` or
`{"id", "error": {"type", "code", "message"}}`. `call` is a function of this file marked with
`@offered`. Calls run side by side.
"""

from __future__ import annotations

import importlib
import json
import logging
import socket
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

pymilvus: Any = importlib.import_module("pymilvus")
grpc_handler: Any = importlib.import_module("pymilvus.client.grpc_handler")
utility: Any = pymilvus.utility
db: Any = pymilvus.db
_OFFERED: dict[str, Callable[..., Any]] = {}


def offered(function: Callable[..., Any]) -> Callable[..., Any]:
    _OFFERED[function.__name__] = function
    return function


def collection(using: str, name: str) -> Any:
    return pymilvus.Collection(name, using=using)


@offered
def connect(
    using: str, address: str, user: str, password: str, database: str, tls: dict[str, Any]
) -> None:
    """With a wrong password it takes minutes: pymilvus tries 75 times."""
    pymilvus.connections.connect(
        using, address=address, user=user, password=password, db_name=database, **tls
    )


@offered
def refusal(using: str, address: str, user: str, password: str) -> str:
    """Why this user is not let in, empty when he is."""
    handler = grpc_handler.GrpcHandler(address=address, user=user, password=password)
    try:
        handler.has_collection("any", timeout=1)  # everybody who is let in may ask
    except pymilvus.MilvusException as failure:
        return str(failure.message)
    finally:
        handler.close()
    return ""


@offered
def create_collection(
    using: str, name: str, fields: list[dict[str, Any]], *, dynamic: bool = False, **how: Any
) -> None:
    """Each field is the arguments of FieldSchema; dtype by its name."""
    made = [
        pymilvus.FieldSchema(**{**field, "dtype": pymilvus.DataType[field["dtype"]]})
        for field in fields
    ]
    schema = pymilvus.CollectionSchema(made, enable_dynamic_field=dynamic)
    pymilvus.Collection(name, schema, using=using, **how)


@offered
def has_collection(using: str, name: str) -> bool:
    return bool(utility.has_collection(name, using=using))


@offered
def list_collections(using: str) -> list[str]:
    return sorted(utility.list_collections(using=using))


@offered
def describe(using: str, name: str) -> dict[str, Any]:
    """`{name, id, shards, aliases, properties, partitions, fields: [names], dynamic}`."""
    found = pymilvus.connections._fetch_handler(using).describe_collection(name)
    return {
        "name": found["collection_name"],
        "id": found["collection_id"],
        "shards": found["num_shards"],
        "aliases": sorted(found["aliases"]),
        "properties": dict(found["properties"]),
        "partitions": found["num_partitions"],
        "fields": [field["name"] for field in found["fields"]],
        "dynamic": found.get("enable_dynamic_field", False),
    }


@offered
def set_properties(using: str, name: str, properties: dict[str, str]) -> None:
    collection(using, name).set_properties(properties)


@offered
def drop_collection(using: str, name: str) -> None:
    utility.drop_collection(name, using=using)


@offered
def rename_collection(using: str, old: str, new: str, new_database: str = "") -> None:
    utility.rename_collection(old, new, new_db_name=new_database, using=using)


@offered
def create_alias(using: str, name: str, alias: str) -> None:
    utility.create_alias(name, alias, using=using)


@offered
def alter_alias(using: str, name: str, alias: str) -> None:
    utility.alter_alias(name, alias, using=using)


@offered
def drop_alias(using: str, alias: str) -> None:
    utility.drop_alias(alias, using=using)


@offered
def create_partition(using: str, name: str, partition: str) -> None:
    collection(using, name).create_partition(partition)


@offered
def drop_partition(using: str, name: str, partition: str) -> None:
    collection(using, name).drop_partition(partition)


@offered
def list_partitions(using: str, name: str) -> list[str]:
    return [one.name for one in collection(using, name).partitions]


@offered
def insert(
    using: str, name: str, rows: list[dict[str, Any]], partition: str | None = None
) -> list[int]:
    """Rows are maps by field name; the primary keys."""
    done = collection(using, name).insert(rows, partition_name=partition)
    return list(done.primary_keys)


@offered
def delete(using: str, name: str, expr: str) -> int:
    return int(collection(using, name).delete(expr).delete_count)


@offered
def flush(using: str, name: str) -> int:
    """The number of rows after it; deleted ones count."""
    flushed = collection(using, name)
    flushed.flush()
    return int(flushed.num_entities)


@offered
def create_index(using: str, name: str, field: str, params: dict[str, Any]) -> int:
    """Returns the number of indexed rows once the index is built."""
    collection(using, name).create_index(field, params)
    utility.wait_for_index_building_complete(name, using=using)
    return int(utility.index_building_progress(name, using=using)["indexed_rows"])


@offered
def load(using: str, name: str) -> None:
    collection(using, name).load()


@offered
def release(using: str, name: str) -> None:
    collection(using, name).release()


@offered
def load_state(using: str, name: str) -> str:
    return str(utility.load_state(name, using=using))


@offered
def query(using: str, name: str, expr: str, output: list[str], **how: Any) -> list[dict[str, Any]]:
    """Rows in the order of their primary key; ids and texts only, floats are not exact."""
    found = collection(using, name).query(expr, output, consistency_level="Strong", **how)
    return [dict(row) for row in found]


@offered
def search(
    using: str, name: str, vectors: list[list[float]], limit: int, expr: str | None = None
) -> list[list[int]]:
    """Ids of the nearest rows, nearest first, for each vector; by L2 over the field `vector`."""
    found = collection(using, name).search(
        vectors,
        "vector",
        {"metric_type": "L2", "params": {"nprobe": 16}},
        limit,
        expr,
        consistency_level="Strong",
    )
    return [list(hits.ids) for hits in found]


@offered
def compact(using: str, name: str) -> None:
    compacted = collection(using, name)
    compacted.compact()
    compacted.wait_for_compaction_completed()


@offered
def create_database(using: str, database: str) -> None:
    db.create_database(database, using=using)


@offered
def drop_database(using: str, database: str) -> None:
    db.drop_database(database, using=using)


@offered
def list_databases(using: str) -> list[str]:
    return sorted(db.list_database(using=using))


@offered
def create_user(using: str, user: str, password: str) -> None:
    utility.create_user(user, password, using=using)


@offered
def update_password(using: str, user: str, old: str, new: str) -> None:
    utility.update_password(user, old, new, using=using)


@offered
def delete_user(using: str, user: str) -> None:
    utility.delete_user(user, using=using)


@offered
def list_users(using: str) -> dict[str, list[str]]:
    """Roles by user."""
    found = utility.list_users(include_role_info=True, using=using).groups
    return {one.username: sorted(one.roles) for one in found}


@offered
def create_role(using: str, role: str) -> None:
    pymilvus.Role(role, using=using).create()


@offered
def drop_role(using: str, role: str) -> None:
    pymilvus.Role(role, using=using).drop()


@offered
def list_roles(using: str) -> dict[str, list[str]]:
    """Users by role."""
    found = utility.list_roles(include_user_info=True, using=using).groups
    return {one.role_name: sorted(one.users) for one in found}


@offered
def add_user_to_role(using: str, role: str, user: str) -> None:
    pymilvus.Role(role, using=using).add_user(user)


@offered
def remove_user_from_role(using: str, role: str, user: str) -> None:
    pymilvus.Role(role, using=using).remove_user(user)


@offered
def grant(using: str, role: str, kind: str, name: str, privilege: str) -> None:
    pymilvus.Role(role, using=using).grant(kind, name, privilege)


@offered
def revoke(using: str, role: str, kind: str, name: str, privilege: str) -> None:
    pymilvus.Role(role, using=using).revoke(kind, name, privilege)


@offered
def list_grants(using: str, role: str) -> list[list[str]]:
    """`[object, name, privilege, grantor]` each."""
    found = pymilvus.Role(role, using=using).list_grants().groups
    return sorted([one.object, one.object_name, one.privilege, one.grantor_name] for one in found)


@offered
def bulk_insert(using: str, name: str, files: list[str]) -> int:
    return int(utility.do_bulk_insert(name, files, using=using))


@offered
def bulk_insert_state(using: str, task: int) -> dict[str, Any]:
    state = utility.get_bulk_insert_state(task, using=using)
    return {"state": state.state_name, "rows": state.row_count, "infos": state.infos}


@offered
def bulk_insert_tasks(using: str, name: str) -> list[int]:
    found = utility.list_bulk_insert_tasks(collection_name=name, using=using)
    return [one.task_id for one in found]


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    try:
        result = _OFFERED[asked["call"]](*asked["args"], **asked["kwargs"])
    except Exception as failure:  # the test judges it
        error = {
            "type": type(failure).__name__,
            "code": getattr(failure, "code", None),
            "message": getattr(failure, "message", None) or str(failure),
        }
        if callable(error["code"]):  # of a gRPC error
            error["code"] = str(error["code"]())
        return {"id": asked["id"], "error": error}
    return {"id": asked["id"], "result": result}


def main() -> None:
    logging.disable(logging.ERROR)
    link = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    lock = threading.Lock()

    def work(line: str) -> None:
        reply = json.dumps(answer(json.loads(line)), default=str).encode() + b"\n"
        with lock:
            link.sendall(reply)

    with ThreadPoolExecutor(8) as pool, link.makefile() as lines:
        for line in lines:
            pool.submit(work, line)


if __name__ == "__main__":
    main()
