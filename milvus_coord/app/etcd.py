"""From the configuration to etcd, and from etcd to the settings that are stored there."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Final

from milvus_coord.config import Settings
from milvus_coord.etcd.client.client import EtcdClient
from milvus_coord.etcd.embedded.embedded import EmbeddedSettings, attach
from milvus_coord.etcd.errors import AuthFailed, Unavailable
from milvus_coord.etcd.settings import EtcdSettings, EtcdTls
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.retry import Retry
from milvus_coord.telemetry.log import log

CONNECT_S: Final = 3.0
"""How long one attempt to reach etcd may take before the process says that it cannot."""


def etcd_settings(settings: Settings, endpoints: tuple[str, ...] = ()) -> EtcdSettings:
    """How to reach etcd; `endpoints` go before the configured ones (an embedded etcd has its own).

    Raises ValueError for endpoints that contradict the TLS settings.
    """
    etcd = settings.etcd
    tls = None
    if etcd.ssl.enabled:
        tls = EtcdTls(
            ca_file=etcd.ssl.tls_ca_cert,
            cert_file=etcd.ssl.tls_cert,
            key_file=etcd.ssl.tls_key,
            min_version=max(etcd.ssl.tls_min_version, "1.2"),
        )
    return EtcdSettings(
        endpoints=endpoints or etcd.endpoints,
        tls=tls,
        user=etcd.auth.user_name if etcd.auth.enabled else "",
        password=etcd.auth.password.get_secret_value() if etcd.auth.enabled else "",
        request_timeout_s=etcd.request_timeout_ms / 1000,
    )


async def stored_settings(
    etcd: EtcdClient, settings: Settings, *, timeout_s: float | None = None
) -> dict[str, str]:
    """The texts below `<meta root>/config/`, by what follows that prefix; for `config.load`.

    Raises EtcdError.
    """
    prefix = f"{settings.etcd.meta_root}/config/".encode()
    found = await etcd.range(prefix, timeout_s=timeout_s)
    return {
        kv.key[len(prefix) :].decode(errors="replace"): kv.value.decode(errors="replace")
        for kv in found.kvs
    }


def with_advice(settings: Settings, failure: AuthFailed) -> AuthFailed:
    """The same error, with what to set."""
    auth = settings.etcd.auth
    if auth.enabled:
        advice = "check etcd.auth.userName and etcd.auth.password"
    elif auth.user_name or auth.password.get_secret_value():
        advice = (
            "etcd.auth.userName and etcd.auth.password are of no effect while etcd.auth.enabled "
            "is false: set it (ETCD_AUTH_ENABLED=true)"
        )
    else:
        advice = (
            "etcd wants a user: set etcd.auth.enabled, etcd.auth.userName and etcd.auth.password "
            "(ETCD_AUTH_ENABLED=true, ETCD_AUTH_USER_NAME, ETCD_AUTH_PASSWORD)"
        )
    return AuthFailed(f"{failure}; {advice}")


async def reach_etcd(
    settings: Settings, clock: Clock, opened: AsyncExitStack, *, give_up_after_s: float | None
) -> EtcdClient:
    """Connect, however long it takes; starts the private etcd first where that is to be used.

    What is made is closed with `opened`. Raises GaveUp after `give_up_after_s`, None for never, and
    what a person must mend: AuthFailed, CertificateError, EtcdBinaryMissing.
    """
    endpoints = settings.etcd.endpoints
    if settings.etcd.use_embed:
        embedded = await attach(
            EmbeddedSettings(
                data_dir=settings.etcd.data_dir,
                config_path=settings.etcd.config_path,
                log_level=settings.etcd.log_level,
                log_path=settings.etcd.log_path,
            ),
            clock,
        )
        opened.push_async_callback(embedded.close)
        endpoints = (embedded.endpoint,)
    client = EtcdClient(etcd_settings(settings, endpoints), clock)
    opened.push_async_callback(client.close)
    retry = Retry(clock, "reach etcd", on=(Unavailable,), cap_s=5.0)
    attempt_s = CONNECT_S
    if give_up_after_s is not None:
        attempt_s = min(CONNECT_S, max(give_up_after_s, 0.1))
    try:
        await retry.run(
            lambda: client.connect(timeout_s=attempt_s), give_up_after_s=give_up_after_s
        )
    except AuthFailed as failure:
        raise with_advice(settings, failure) from failure
    log.info("Session connect to etcd success", endpoints=",".join(endpoints))
    return client
