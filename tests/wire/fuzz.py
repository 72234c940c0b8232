"""Every message type from upb to betterproto and back; what differs, one line each."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator

import betterproto
from google.protobuf.message import Message

from tests.wire.messages import (
    difference,
    drop_blank_entries,
    fill,
    generated_types,
    rebuild,
    upb_of,
)


def differences(seed: int, rounds: int) -> Iterator[str]:
    """Fuzz each type `rounds` times; yields `<message> <direction>: <where>` for each mismatch."""
    dice = random.Random(seed)
    for message_type in generated_types():
        upb = upb_of(message_type)
        for _ in range(rounds):
            sent = fill(upb(), dice)
            for direction, found in _compare(sent, message_type):
                if found is not None:
                    yield f"{upb.DESCRIPTOR.full_name} {direction}: {found}"


def _compare(
    sent: Message, message_type: type[betterproto.Message]
) -> Iterator[tuple[str, str | None]]:
    read = message_type.FromString(sent.SerializeToString())
    yield "read", difference(sent, read)
    yield "reread", _unequal(sent, bytes(read))
    yield "built", _unequal(sent, bytes(rebuild(sent, message_type)))


def _unequal(sent: Message, data: bytes) -> str | None:
    got = type(sent).FromString(data)
    # Unknown fields hide from ==, sizes tell.
    if got == sent and got.ByteSize() == sent.ByteSize():
        return None
    rest = type(sent)()
    rest.CopyFrom(sent)
    drop_blank_entries(rest)
    return "blank map entry lost" if got == rest else f"sent {sent!r}, got {got!r}"


def main() -> None:
    """Print as JSON what betterproto is running on and what differs."""
    seed, rounds = int(sys.argv[1]), int(sys.argv[2])
    rust = sys.modules.get("betterproto_rust_codec") is not None
    json.dump({"rust": rust, "differences": list(differences(seed, rounds))}, sys.stdout)


if __name__ == "__main__":
    main()
