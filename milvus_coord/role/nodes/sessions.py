"""Which nodes of one kind have a session in etcd: listed once, then followed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass

from milvus_coord.etcd.errors import EtcdError
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.etcd.values import Batch, EventKind, KeyValue, Listing
from milvus_coord.model.errors import BadValue
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.retry import Retry
from milvus_coord.telemetry.log import log


@dataclass(frozen=True, slots=True)
class NodeSession:
    """One node that is there; `address` is `ip:port`. Its other fields are nobody's concern."""

    server_id: int
    address: str

    @classmethod
    def decode(cls, key: bytes, value: bytes) -> NodeSession:
        """Read what a node of Go Milvus writes. Raises BadValue that names key and value."""
        try:
            fields = json.loads(value)
            server_id, address = fields["ServerID"], fields["Address"]
            if type(server_id) is not int or not isinstance(address, str):
                raise TypeError("ServerID or Address is of another type")
            if not address.rpartition(":")[2].isdecimal():
                raise ValueError(f"Address {address!r} is not host:port")
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            name = key.decode(errors="replace")
            raise BadValue(f"{name} holds no session: {value[:200]!r} ({error})") from error
        return cls(server_id, address)


class NodeSessions:
    """Keeps the sessions `<meta_root>/session/<kind>-<id>` true to etcd.

    Args:
        kind: `proxy`.
        tell: called with all of them, by server id, after the listing and after each change.
    """

    def __init__(
        self,
        etcd: Etcd,
        clock: Clock,
        meta_root: str,
        kind: str,
        tell: Callable[[Mapping[int, NodeSession]], None],
    ) -> None:
        self._etcd, self._clock, self._kind, self._tell = etcd, clock, kind, tell
        self._prefix = f"{meta_root}/session/{kind}".encode()
        self._by_key: dict[bytes, NodeSession] = {}

    async def run(self) -> None:
        """Follow until cancelled; trouble in etcd is waited out, and nobody is gone meanwhile."""
        retry = Retry(self._clock, f"follow the sessions of {self._kind}", on=(EtcdError,))
        while True:
            try:
                async with aclosing(self._etcd.follow(self._prefix, prefix=True)) as follow:
                    async for news in follow:
                        retry.succeeded()
                        self._take(news)
            except EtcdError as error:
                await retry.wait(error)

    def _take(self, news: Listing | Batch) -> None:
        if isinstance(news, Listing):
            there = {kv.key for kv in news.kvs}
            self._drop(key for key in list(self._by_key) if key not in there)
            for kv in news.kvs:
                self._put(kv)
        else:
            for event in news.events:
                if event.kind is EventKind.DELETE:
                    self._drop((event.kv.key,))
                else:
                    self._put(event.kv)
        self._tell({session.server_id: session for session in self._by_key.values()})

    def _put(self, kv: KeyValue) -> None:
        """A new value that cannot be read leaves a known node as it is: it may still write."""
        if not self._is_session(kv.key):
            return
        try:
            session = NodeSession.decode(kv.key, kv.value)
        except BadValue as error:
            log.warn("a session key is not readable, its value is ignored", error=str(error))
            return
        if self._by_key.get(kv.key) != session:
            log.info("node is there", kind=self._kind, id=session.server_id, addr=session.address)
        self._by_key[kv.key] = session

    def _drop(self, keys: Iterable[bytes]) -> None:
        for key in keys:
            if (session := self._by_key.pop(key, None)) is not None:
                log.info("node is gone", kind=self._kind, id=session.server_id)

    def _is_session(self, key: bytes) -> bool:
        """Whether `key` is one of this kind, and not only alike in prefix."""
        rest = key.removeprefix(self._prefix)
        return not rest or (rest[:1] == b"-" and rest[1:].isdigit())
