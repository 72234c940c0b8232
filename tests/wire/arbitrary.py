"""Hypothesis strategies for messages of any type, made from their descriptors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import strategies as st

F = FieldDescriptor

_EDGES = {
    F.CPPTYPE_INT32: (0, 1, -1, 2**31 - 1, -(2**31)),
    F.CPPTYPE_INT64: (0, 1, -1, 2**63 - 1, -(2**63)),
    F.CPPTYPE_UINT32: (0, 1, 2**32 - 1),
    F.CPPTYPE_UINT64: (0, 1, 2**63, 2**64 - 2, 2**64 - 1),
}
_DEPTH_MAX = 4


@dataclass(frozen=True)
class Hints:
    """What makes messages hit something: `texts` and `numbers` that mean something to the receiver.

    `fields` are strategies for fields of a given name, wherever they stand.
    """

    texts: tuple[str, ...]
    numbers: tuple[int, ...]
    fields: dict[str, st.SearchStrategy[Any]]


def messages(kind: type[Message], hints: Hints) -> st.SearchStrategy[Message]:
    """Any message of `kind`: each field absent or set, to what is known, extreme or arbitrary."""
    return st.composite(_draw_message)(kind, hints, 0)


def altered(good: Message, hints: Hints) -> st.SearchStrategy[Message]:
    """`good` with some of its fields as in any message of its kind."""
    return st.composite(_draw_altered)(good, hints)


def _draw_altered(draw: st.DrawFn, good: Message, hints: Hints) -> Message:
    message: Any = type(good)()
    message.CopyFrom(good)
    for field in message.DESCRIPTOR.fields:
        if not draw(st.integers(0, 4)):
            message.ClearField(field.name)
            _fill_field(draw, message, field, hints, 0)
    return type(good).FromString(message.SerializeToString())


def _draw_message(draw: st.DrawFn, kind: type[Message], hints: Hints, depth: int) -> Message:
    message = kind()
    _fill(draw, message, hints, depth)
    return message


def _fill(draw: st.DrawFn, message: Any, hints: Hints, depth: int) -> None:
    descriptor: Descriptor = message.DESCRIPTOR
    for field in descriptor.fields:
        if draw(st.integers(0, 3)):  # else absent; within a oneof the last one set stays
            _fill_field(draw, message, field, hints, depth)


def _fill_field(
    draw: st.DrawFn, message: Any, field: FieldDescriptor, hints: Hints, depth: int
) -> None:
    if field.name in hints.fields and not field.is_repeated:
        setattr(message, field.name, draw(hints.fields[field.name]))
    elif _is_map(field):
        _fill_map(draw, message, field, hints, depth)
    elif field.message_type is not None:
        if depth < _DEPTH_MAX:
            _fill_children(draw, message, field, hints, depth)
    elif field.is_repeated:
        values = draw(st.lists(_scalars(field, hints), max_size=3))
        getattr(message, field.name).extend(values)
    else:
        setattr(message, field.name, draw(_scalars(field, hints)))


def _fill_children(
    draw: st.DrawFn, message: Any, field: FieldDescriptor, hints: Hints, depth: int
) -> None:
    child = getattr(message, field.name)
    if not field.is_repeated:
        child.SetInParent()
        _fill(draw, child, hints, depth + 1)
        return
    for _ in range(draw(st.integers(0, 2))):
        _fill(draw, child.add(), hints, depth + 1)


def _fill_map(
    draw: st.DrawFn, message: Any, field: FieldDescriptor, hints: Hints, depth: int
) -> None:
    assert field.message_type is not None
    key, value = (field.message_type.fields_by_name[name] for name in ("key", "value"))
    entries = getattr(message, field.name)
    for each in draw(st.lists(_scalars(key, hints), max_size=2)):
        if value.message_type is not None:
            _fill(draw, entries[each], hints, depth + 1)
        else:
            entries[each] = draw(_scalars(value, hints))


def _scalars(field: FieldDescriptor, hints: Hints) -> st.SearchStrategy[Any]:
    kind = field.cpp_type
    if field.enum_type is not None:
        known = sorted(field.enum_type.values_by_number)
        return st.sampled_from([*known, 9999, -1, 2**31 - 1, -(2**31)])
    if kind in _EDGES:
        edges = _EDGES[kind]
        fitting = [each for each in hints.numbers if min(edges) <= each <= max(edges)]
        return st.sampled_from([*fitting, *edges])
    if kind == F.CPPTYPE_BOOL:
        return st.booleans()
    if kind in (F.CPPTYPE_FLOAT, F.CPPTYPE_DOUBLE):
        return st.sampled_from([0.0, -1.5, float("inf"), float("nan")])
    if field.type == F.TYPE_BYTES:
        return st.binary(max_size=40)
    texts = st.text(st.characters(codec="utf-8"), max_size=20)
    return st.one_of(st.sampled_from(hints.texts), texts)


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def damaged(data: bytes) -> st.SearchStrategy[bytes]:
    """`data` cut off, with a byte changed, or with something behind it."""
    cut = st.integers(0, max(0, len(data) - 1)).map(lambda size: data[:size])
    longer = st.binary(min_size=1, max_size=8).map(lambda more: data + more)
    if not data:
        return longer
    changed = st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255)).map(
        lambda at: data[: at[0]] + bytes([at[1]]) + data[at[0] + 1 :]
    )
    return st.one_of(cut, changed, longer)
