"""The plainest image of a mirror: what is there, as it is there."""

from __future__ import annotations

from collections.abc import Iterator


class KeysImage(dict[bytes, bytes]):
    """Keys and values; a record is a pair."""

    def put(self, key: bytes, value: bytes) -> None:
        self[key] = value

    def delete(self, key: bytes) -> None:
        self.pop(key, None)

    def records(self) -> Iterator[object]:
        return iter(tuple(self.items()))

    def check(self) -> list[str]:
        return []
