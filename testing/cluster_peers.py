"""Stand-ins for what a rootcoord talks to: three coordinators and a proxy that note what they hear.

They agree to everything, unless told otherwise, so that two rootcoords can be compared by what
they say, word for word, also where others refuse.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import grpc as untyped_grpc

from testing import messages
from testing.etcd import EtcdMember

grpc: Any = untyped_grpc
PROXY_ID: Final = 9001
_SESSIONS: Final = {"proxy": f"proxy-{PROXY_ID}", "querycoord": "querycoord"} | {
    role: role for role in ("datacoord", "indexcoord")
}
_HEALTHY: Final = 1


@dataclass(frozen=True, slots=True)
class Told:
    """One call that came in: `data.DataCoord/WatchChannels` and its request."""

    method: str
    request: Any


class Peers:
    """One gRPC server on 127.0.0.1 that is all of them; `told` grows with each call."""

    def __init__(self) -> None:
        self.told: list[Told] = []
        self._answers: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._server = grpc.server(ThreadPoolExecutor(8), handlers=[_Handler(self._hear)])
        self._port = self._server.add_insecure_port("127.0.0.1:0")

    def start(self) -> None:
        self._server.start()

    def stop(self) -> None:
        self._server.stop(None).wait()

    async def register(self, etcd: EtcdMember) -> None:
        """Leave the sessions by which a rootcoord finds them."""
        for number, (role, key) in enumerate(_SESSIONS.items()):
            session = {
                "ServerID": PROXY_ID + number,
                "ServerName": role,
                "Address": f"127.0.0.1:{self._port}",
                "TriggerKill": True,
                "Version": "2.2.16",
            }
            await etcd.ctl("put", f"by-dev/meta/session/{key}", json.dumps(session))

    @contextmanager
    def answering(self, method: str, **fields: object) -> Iterator[None]:
        """Give this reply to a method inside the block."""
        self._answers[method] = messages.method_types(method)[1](**fields)
        try:
            yield
        finally:
            del self._answers[method]

    def heard(self, after: int = 0) -> list[Told]:
        """All calls from number `after` on."""
        with self._lock:
            return self.told[after:]

    def _hear(self, method: str, body: bytes) -> bytes:
        request_type, reply_type = messages.method_types(method)
        with self._lock:
            self.told.append(Told(method, request_type.FromString(body)))
        reply = self._answers.get(method) or _agreement(reply_type)
        return bytes(reply.SerializeToString())


class _Handler(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """Raw bytes of every unary method of every service."""

    def __init__(self, hear: Any) -> None:
        self._hear = hear

    def service(self, call: Any) -> Any:
        method = call.method.removeprefix("/milvus.proto.")
        return grpc.unary_unary_rpc_method_handler(lambda body, _: self._hear(method, body))


def _agreement(reply_type: Any) -> Any:
    reply = reply_type()
    if "status" in reply.DESCRIPTOR.fields_by_name:
        reply.status.SetInParent()
    if reply.DESCRIPTOR.name == "ComponentStates":
        reply.state.state_code = _HEALTHY
    return reply
