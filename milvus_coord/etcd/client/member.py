"""One endpoint of etcd: its channel, its stubs and its token."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import grpc
import grpc.aio
from aetcd.client import Client

from milvus_coord.etcd import tls
from milvus_coord.etcd.client.rpc import pb
from milvus_coord.etcd.client.verdict import NotReady
from milvus_coord.etcd.settings import Endpoint, EtcdSettings

# As Go's client: etcd sends up to 1000 revisions in one message to a watch that catches up.
RECEIVE_BYTES_MAX: Final = (1 << 31) - 1

# A member that has lost its leader refuses at once instead of letting the call wait.
_LEADER: Final = (("hasleader", "true"),)
_NO_AUTH: Final = "etcdserver: authentication is not enabled"

_OPTIONS: Final = {
    # etcd sends clients away that ping more often than every 5 s, or while they want nothing.
    "grpc.keepalive_time_ms": 10_000,
    "grpc.keepalive_timeout_ms": 3_000,
    # The timeout that counts: 60 s unless set, whatever the one above says.
    "grpc.http2.ping_timeout_ms": 3_000,
    "grpc.keepalive_permit_without_calls": 0,
    "grpc.http2.max_pings_without_data": 0,
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 1_000,
    "grpc.dns_min_time_between_resolutions_ms": 1_000,
    "grpc.service_config_disable_resolution": 1,
    "grpc.max_receive_message_length": RECEIVE_BYTES_MAX,
    "grpc.enable_http_proxy": 0,
    # Channels with equal options would share one connection else, and its fate.
    "grpc.use_local_subchannel_pool": 1,
}


class Member(Client):
    """aetcd's client for a single endpoint; only its channel, stubs and messages are used.

    aetcd has no TLS, no connect deadline and never renews its token; here `connect` builds the
    channel (and sends nothing), `ready` connects it, `log_in` gets a token.
    """

    def __init__(self, endpoint: Endpoint, settings: EtcdSettings) -> None:
        connect_ms = round(settings.attempt_timeout_s * 1000)
        # Despite its name also the time that one attempt to connect may take, 20 s unless set.
        options = {**_OPTIONS, "grpc.min_reconnect_backoff_ms": connect_ms}
        super().__init__(endpoint.host, endpoint.port, options=options)
        self.endpoint = endpoint
        self.proven = -1
        """Of which store, as `StoreIdentity.replaced` counts them; -1 after a break."""
        self.user = settings.user
        self._secret = settings.password
        # For what a member may answer without a leader, and for everything else.
        self.local_metadata: tuple[tuple[str, str], ...] = ()
        self.metadata: tuple[tuple[str, str], ...] = _LEADER
        self._token: str | None = None
        self._one_login = asyncio.Lock()
        self._version_shown = endpoint.tls is None or endpoint.tls.min_version != "1.3"

    def __str__(self) -> str:
        return self.endpoint.address

    async def connect(self) -> None:
        """Build channel and stubs; no byte leaves. Raises CertificateError for unreadable files."""
        if self.channel is not None:
            return
        options = tuple(self._options.items())
        if self.endpoint.tls is None:
            channel = grpc.aio.insecure_channel(_target(self.endpoint), options)
        else:
            credentials = tls.channel_credentials(self.endpoint.tls)
            channel = grpc.aio.secure_channel(_target(self.endpoint), credentials, options)
        self.channel: Any = channel
        self.auth_stub: Any = pb.AuthStub(channel)
        self.kvstub: Any = pb.KVStub(channel)
        self.clusterstub: Any = pb.ClusterStub(channel)
        self.leasestub: Any = pb.LeaseStub(channel)
        self.maintenancestub: Any = pb.MaintenanceStub(channel)
        self.watchstub: Any = pb.WatchStub(channel)
        self._connected.set()

    async def ready(self, timeout_s: float) -> None:
        """Wait until connected and logged in, or until a call would fail at once and say why.

        Raises NotReady, and what grpc.aio raises when logging in fails.
        """
        if self._channel_state() is not grpc.ChannelConnectivity.READY:
            self.doubt()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._settle()
            except TimeoutError:
                raise NotReady(f"no connection within {timeout_s:.3g} s") from None
        if not self._version_shown:
            await self._show_version(timeout_s)
        if self.user and self._token is None:
            await self.log_in(None, timeout_s)

    def doubt(self) -> None:
        """After a break: what answers next may be another store, and may not know our token.

        Of a token that names an index of raft to come (an etcd that was restored) etcd 3.5 says
        nothing: it lets the call wait for that index.
        """
        self.proven = -1
        self._token = None

    @property
    def token(self) -> str | None:
        """The token in use: None when never asked for, empty when etcd runs without auth."""
        return self._token

    async def log_in(self, stale: str | None, timeout_s: float) -> None:
        """Get a new token unless somebody has replaced `stale` already.

        Tokens are per endpoint: each member forgets, on its own, those it has not seen for a while
        and all of them when it restarts.
        """
        async with self._one_login:
            if self._token != stale:
                return
            request = pb.AuthenticateRequest(name=self.user, password=self._secret)
            try:
                answer = await self.auth_stub.Authenticate(request, timeout=timeout_s)
            except grpc.aio.AioRpcError as error:
                if error.details() != _NO_AUTH:
                    raise
                self._use("")
            else:
                self._use(answer.token)

    def _use(self, token: str) -> None:
        self._token = token
        self.local_metadata = (("token", token),) if token else ()
        self.metadata = (*_LEADER, *self.local_metadata)

    def _channel_state(self) -> grpc.ChannelConnectivity:
        if self.channel is None:
            raise NotReady("the etcd client is closed")
        state: grpc.ChannelConnectivity = self.channel.get_state(try_to_connect=True)
        return state

    async def _settle(self) -> None:
        state = self._channel_state()
        while state in {grpc.ChannelConnectivity.IDLE, grpc.ChannelConnectivity.CONNECTING}:
            await self.channel.wait_for_state_change(state)
            state = self._channel_state()

    async def _show_version(self, timeout_s: float) -> None:
        if self._channel_state() is not grpc.ChannelConnectivity.READY:
            return
        await tls.require_tls13(self.endpoint, timeout_s)
        self._version_shown = True


def _target(endpoint: Endpoint) -> str:
    if ":" in endpoint.host:
        return f"ipv6:{endpoint.address}"
    if endpoint.host.count(".") == 3 and endpoint.host.replace(".", "").isdecimal():
        return f"ipv4:{endpoint.address}"
    return f"dns:{endpoint.address}"
