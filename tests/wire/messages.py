"""Random messages, and the road between a upb message and its betterproto twin."""

from __future__ import annotations

import dataclasses
import importlib
import random
import warnings
from typing import Any

import betterproto
from google.protobuf.descriptor import FieldDescriptor as F
from google.protobuf.message import Message

from milvus_coord.wire.descriptors import twin

PACKAGES = (
    "common",
    "schema",
    "etcd",
    "internal",
    "milvus",
    "proxy",
    "rootcoord",
    "index",
    "data",
    "query",
)

_TEXTS = ("", "a", "by-dev-rootcoord-dml_0_1v0", "集合\n", "\x00", "x" * 200)
_WHOLE = {
    F.CPPTYPE_INT32: (0, 1, -1, 2**31 - 1, -(2**31), 300),
    F.CPPTYPE_INT64: (0, 1, -1, 2**63 - 1, -(2**63), 435_000_000_000_000_001),
    F.CPPTYPE_UINT32: (0, 1, 127, 128, 2**32 - 1),
    F.CPPTYPE_UINT64: (0, 1, 2**32, 2**63, 2**64 - 1),
    F.CPPTYPE_BOOL: (False, True),
}


def generated_types() -> list[type[betterproto.Message]]:
    """Every message class that betterproto has generated, in the order of the files."""
    types: list[type[betterproto.Message]] = []
    for name in PACKAGES:
        module = importlib.import_module(f"milvus_coord.pb.milvus.proto.{name}")
        types += [
            member
            for member in vars(module).values()
            if isinstance(member, type)
            and issubclass(member, betterproto.Message)
            and member.__module__ == module.__name__
        ]
    return types


def upb_of(message_type: type[betterproto.Message]) -> type[Message]:
    """The upb class of a generated one."""
    upb = twin(message_type)
    assert upb is not None, message_type
    return upb


def fill(message: Message, dice: random.Random, depth: int = 0) -> Message:
    """Set about half of the fields of `message` to random values, edges preferred."""
    chosen = {oneof.name: dice.choice([*oneof.fields, None]) for oneof in message.DESCRIPTOR.oneofs}
    for field in message.DESCRIPTOR.fields:
        oneof = field.containing_oneof
        if oneof is not None and chosen[oneof.name] is not field:
            continue
        if oneof is None and dice.random() < 0.5:
            continue
        _fill_field(message, field, dice, depth)
    return message


def rebuild(message: Message, message_type: type[betterproto.Message]) -> betterproto.Message:
    """The same message built with betterproto's constructor, as our handlers do it."""
    names = names_by_number(message_type)
    classes = classes_by_name(message_type)
    values: dict[str, Any] = {}
    for field, value in message.ListFields():
        name = names[field.number]
        child = classes.get(name)
        if _is_map(field):
            of = classes[f"{name}.value"]
            values[name] = {k: _rebuilt(value[k], _value_field(field), of) for k in value}
        elif field.is_repeated:
            values[name] = [_rebuilt(item, field, child) for item in value]
        else:
            values[name] = _rebuilt(value, field, child)
    if not values:
        return message_type().parse(b"")  # else it would count as absent
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return message_type(**values)


def difference(message: Message, ours: betterproto.Message, path: str = "") -> str | None:
    """Where a parsed betterproto message tells something else than the upb one, or None."""
    names = names_by_number(type(ours))
    for field in message.DESCRIPTOR.fields:
        here = f"{path}.{field.name}"
        name = names[field.number]
        if field.has_presence and not message.HasField(field.name):
            if field.containing_oneof is not None:
                group = betterproto.which_one_of(ours, field.containing_oneof.name)[0]
                if group == name:
                    return f"{here}: set"
            elif betterproto.serialized_on_wire(getattr(ours, name)):
                return f"{here}: present"
            continue
        left, right = getattr(message, field.name), getattr(ours, name)
        if _is_map(field):
            if set(left) != set(right):
                return f"{here}: keys {sorted(left)} {sorted(right)}"
            pairs = [(left[key], right[key]) for key in left]
            leaf = _value_field(field)
        elif field.is_repeated:
            if len(left) != len(right):
                return f"{here}: {len(left)} {len(right)} items"
            pairs, leaf = list(zip(left, right, strict=True)), field
        else:
            pairs, leaf = [(left, right)], field
        for a, b in pairs:
            if leaf.message_type is not None:
                found = difference(a, b, here)
                if found:
                    return found
            elif type(a)(b) != a:
                return f"{here}: {a!r} {b!r}"
    return None


def classes_by_name(message_type: Any) -> dict[str, Any]:
    """Attribute to its (or its items') class; `<attribute>.value` for the values of a map."""
    classes: dict[str, Any] = message_type._betterproto.cls_by_field
    return classes


def drop_blank_entries(message: Message) -> None:
    """Remove every map entry whose key is the empty string and whose value is empty."""
    for field, value in message.ListFields():
        if _is_map(field):
            of_message = _value_field(field).message_type is not None
            if "" in value and not (value[""].ByteSize() if of_message else value[""]):
                del value[""]
            children = list(value.values()) if of_message else []
        elif field.message_type is None:
            children = []
        else:
            children = list(value) if field.is_repeated else [value]
        for child in children:
            drop_blank_entries(child)


def names_by_number(message_type: type[betterproto.Message]) -> dict[int, str]:
    """Field number to the attribute's name in the generated class."""
    return {
        betterproto.FieldMetadata.get(field).number: field.name
        for field in dataclasses.fields(message_type)  # type: ignore[arg-type] # each one is
    }


def _fill_field(message: Message, field: Any, dice: random.Random, depth: int) -> None:
    value = getattr(message, field.name)
    if _is_map(field):
        key, of = field.message_type.fields_by_name["key"], _value_field(field)
        for _ in range(dice.randint(0, 2)):
            if of.message_type is not None:
                fill(value[_scalar(key, dice)], dice, depth + 1)
            else:
                value[_scalar(key, dice)] = _scalar(of, dice)
    elif field.message_type is not None and depth > 2:
        return
    elif field.is_repeated and field.message_type is not None:
        for _ in range(dice.randint(0, 2)):
            fill(value.add(), dice, depth + 1)
    elif field.is_repeated:
        value.extend(_scalar(field, dice) for _ in range(dice.randint(0, 3)))
    elif field.message_type is not None:
        value.SetInParent()
        fill(value, dice, depth + 1)
    else:
        setattr(message, field.name, _scalar(field, dice))


def _scalar(field: Any, dice: random.Random) -> Any:
    kind = field.cpp_type
    if kind == F.CPPTYPE_STRING:
        text = dice.choice(_TEXTS)
        return text.encode("utf-16") if field.type == F.TYPE_BYTES else text
    if kind == F.CPPTYPE_ENUM:
        return dice.choice([*field.enum_type.values_by_number, 9999, -1])
    if kind in _WHOLE:
        return dice.choice(_WHOLE[kind])
    return dice.choice((0.0, 0.5, -1.25e30 if kind == F.CPPTYPE_DOUBLE else -0.25, float("inf")))


def _rebuilt(value: Any, field: Any, of: Any) -> Any:
    if field.message_type is not None:
        return rebuild(value, of)
    return of.try_value(value) if field.enum_type is not None else value


def _is_map(field: Any) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def _value_field(field: Any) -> Any:
    return field.message_type.fields_by_name["value"]
