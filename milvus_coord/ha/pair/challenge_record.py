"""A nonce that one instance writes and another repeats, to prove that it can write to etcd."""

from __future__ import annotations

from dataclasses import dataclass

from milvus_coord.ha.pair import json_record


@dataclass(frozen=True, slots=True)
class Challenge:
    """The value of challenge and answer keys: `epoch` is that of the term that is asked."""

    nonce: str
    epoch: int

    def encode(self) -> bytes:
        return json_record.encode(self)

    @classmethod
    def decode(cls, key: bytes, value: bytes) -> Challenge:
        """Raises BadValue that names key and value."""
        fields = json_record.fields_of(key, value)
        try:
            return cls(json_record.text(fields["nonce"]), json_record.whole(fields["epoch"]))
        except json_record.MALFORMED as error:
            raise json_record.unreadable(key, value, repr(error)) from error
