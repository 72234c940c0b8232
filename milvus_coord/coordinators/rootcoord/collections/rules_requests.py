"""Limits on the names and records of one request, so that etcd and later statements take them."""

from __future__ import annotations

from typing import Final

from milvus_coord.model.errors import Refused
from milvus_coord.model.schema import Pairs

NAME_BYTES_MAX: Final = 4096
"""Of one name. Proxies allow 255 characters (`proxy.maxNameLength`). Alias names stand in keys, and
64 keys with their versions must fit into one transaction when a collection goes."""

RECORD_BYTES_MAX: Final = 512 << 10
"""Of all that describes one collection. It is written twice in one transaction, for which etcd
takes 1.5 MiB (`--max-request-bytes`)."""

FIELDS_MAX: Final = 1024
"""Fields of one collection, each a key of its own. Proxies allow 64 (`proxy.maxFieldNum`)."""

_PAIR_BYTES: Final = 8


def check_name(kind: str, name: str) -> None:
    """Whether something new may be called `name`; `kind` is what it is. Raises Refused.

    The rules of proxies are stricter; these keep out what no lookup would ever find again, as ""
    stands for the default database, and a collection without a name is looked up by its id.
    """
    if not name:
        raise Refused(f"the {kind} name must not be empty")
    size = len(name.encode())
    if size > NAME_BYTES_MAX:
        raise Refused(f"the {kind} name has {size} bytes, at most {NAME_BYTES_MAX} are allowed")


def check_key_name(kind: str, name: str) -> None:
    """As `check_name`, for a name that becomes the last part of a key.

    Go 2.2.16 cleans keys like paths: it would look for another key than ours. Raises Refused.
    """
    check_name(kind, name)
    if "/" in name or name in (".", ".."):
        raise Refused(f"the {kind} name must not be a path: {name}")


def check_record(what: str, schema_bytes: int, properties: Pairs) -> None:
    """Whether `what` fits into one record. Raises Refused."""
    size = schema_bytes + sum(
        len(key.encode()) + len(value.encode()) + _PAIR_BYTES for key, value in properties
    )
    if size > RECORD_BYTES_MAX:
        raise Refused(
            f"the schema and properties of {what} have {size} bytes,"
            f" at most {RECORD_BYTES_MAX} are allowed"
        )


def check_field_count(what: str, fields: int) -> None:
    """Whether `what` may have so many fields. Raises Refused."""
    if fields > FIELDS_MAX:
        raise Refused(f"{what} has {fields} fields, at most {FIELDS_MAX} are allowed")
