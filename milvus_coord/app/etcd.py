"""From the configuration to the settings of the etcd client, for app and cli."""

from __future__ import annotations

from milvus_coord.config import Settings
from milvus_coord.etcd.settings import EtcdSettings, EtcdTls


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
