"""Rules between keys that are each legal alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from milvus_coord.config.origin import Origin
from milvus_coord.config.settings import METRICS_PORT, Settings
from milvus_coord.model.roles import SECTIONS


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
    yield from _kafka_login(settings)


def unmet(settings: Settings, role: str) -> Iterator[Clash]:
    """What `role` cannot run without; any source may still bring it while one is not read yet."""
    if not settings.section(role).needs_queue or settings.queue is not None:
        return
    match settings.mq.type:
        case "kafka":
            yield Clash("kafka.brokerList", "must name the brokers, host:port,...", ("mq.type",))
        case "pulsar":
            yield Clash("pulsar.address", "must name the broker's host or URL", ("mq.type",))
        case _:
            yield Clash(
                "kafka.brokerList",
                f"{role} needs a message queue: set this to Kafka's brokers (host:port,...) or "
                "pulsar.address to Pulsar's host; mq.type = memory will do for a demonstration",
                ("pulsar.address",),
            )


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
        own = f"{SECTIONS[role]}.port"
        yield Clash(METRICS_PORT, "must differ from the role's own port", (own,))


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
    mode, tls = settings.ha.tls.mode, settings.ha.tls
    files = {"serverPemPath": tls.server_pem_path, "serverKeyPath": tls.server_key_path}
    if mode == 2:
        files["caPemPath"] = tls.ca_pem_path
    if mode > 0:
        for name, path in files.items():
            yield from _file(f"ha.tls.{name}", path, cwd, "ha.tls.mode")


def _kafka_login(settings: Settings) -> Iterator[Clash]:
    # Go panics; a login by half would be no login.
    kafka = settings.kafka
    has_user, has_password = bool(kafka.sasl_username), bool(kafka.sasl_password.get_secret_value())
    if settings.queue == "kafka" and has_user and not has_password:
        yield Clash("kafka.saslPassword", "must be set", ("kafka.saslUsername",))
    if settings.queue == "kafka" and has_password and not has_user:
        yield Clash("kafka.saslUsername", "must be set", ("kafka.saslPassword",))


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
