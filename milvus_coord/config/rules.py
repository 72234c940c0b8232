"""Rules between keys that are each legal alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from milvus_coord.config.origin import Origin
from milvus_coord.config.settings import METRICS_PORT, ROLES, Settings


@dataclass(frozen=True, slots=True)
class Clash:
    """`key` does not go together with `others`; `must` says what would."""

    key: str
    must: str
    others: tuple[str, ...] = ()


def clashes(
    settings: Settings, origins: Mapping[str, Origin], role: str, cwd: Path
) -> Iterator[Clash]:
    """Every broken rule. Relative paths of certificate files count from `cwd`."""
    yield from _times(settings)
    yield from _ports(settings, role)
    yield from _private_etcd(settings, origins)
    yield from _etcd_security(settings, cwd)
    yield from _server_certificates(settings, cwd)


def _times(settings: Settings) -> Iterator[Clash]:
    ttl = settings.common.session.ttl
    if settings.ha.serve_lease_ms * 2 >= ttl * 1000:
        yield Clash(
            "ha.serveLease",
            f"must be below half of the session's lease, {ttl * 500} ms",
            ("common.session.ttl",),
        )


def _ports(settings: Settings, role: str) -> Iterator[Clash]:
    if settings.metrics_port == settings.role(role).port:
        yield Clash(METRICS_PORT, "must differ from the role's own port", (f"{ROLES[role]}.port",))


def _private_etcd(settings: Settings, origins: Mapping[str, Origin]) -> Iterator[Clash]:
    # Milvus' file always has endpoints, so only those set on purpose contradict.
    if settings.etcd.use_embed and origins["etcd.endpoints"].source == "environment":
        yield Clash(
            "etcd.use.embed",
            "must be false when endpoints are given: it starts a private etcd instead",
            ("etcd.endpoints",),
        )


def _etcd_security(settings: Settings, cwd: Path) -> Iterator[Clash]:
    ssl, auth = settings.etcd.ssl, settings.etcd.auth
    if ssl.enabled:
        files = {"tlsCert": ssl.tls_cert, "tlsKey": ssl.tls_key, "tlsCACert": ssl.tls_ca_cert}
        for name, path in files.items():
            yield from _file(f"etcd.ssl.{name}", path, cwd, "etcd.ssl.enabled")
    if auth.enabled:
        for name, value in (
            ("userName", auth.user_name),
            ("password", auth.password.get_secret_value()),
        ):
            if not value:
                yield Clash(f"etcd.auth.{name}", "must be set", ("etcd.auth.enabled",))


def _server_certificates(settings: Settings, cwd: Path) -> Iterator[Clash]:
    mode, tls = settings.common.security.tls_mode, settings.tls
    files = {"serverPemPath": tls.server_pem_path, "serverKeyPath": tls.server_key_path}
    if mode == 2:
        files["caPemPath"] = tls.ca_pem_path
    if mode > 0:
        for name, path in files.items():
            yield from _file(f"tls.{name}", path, cwd, "common.security.tlsMode")


def _file(key: str, path: str, cwd: Path, switch: str) -> Iterator[Clash]:
    if not path:
        yield Clash(key, "must name a file", (switch,))
        return
    try:
        with (cwd / path).open("rb"):
            pass
    except OSError as err:
        yield Clash(key, f"must be a readable file ({err.strerror})", (switch,))
    except ValueError:  # a NUL in the path
        yield Clash(key, "must be a readable file", (switch,))
