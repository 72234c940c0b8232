"""`mq.*`, `kafka.*` and `pulsar.*`: which message queue, and how to reach it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import Field, SecretStr

from milvus_coord.config.fallback import Fallback, ReadWith, anything, no_whole
from milvus_coord.config.kinds import Choice, Secret, Text, Whole, Word
from milvus_coord.config.section import Section, Table
from milvus_coord.model.redaction import MASK, without_logins

Which = Literal["kafka", "pulsar", "memory"]

_CONFIDENTIAL: Final = re.compile(
    r"passphrase|password|passwd|secret|token|jaas|credential|\.pem$|\.key$"
    r"|^ssl\.key\.location$|^sasl\.username$|oauthbearer\.config|kinit\.cmd"
)
"""What librdkafka 2 calls sensitive, and whatever is named like it."""

_JSON_AUTH: Final = ("oauth2", "basic")

Options = tuple[tuple[str, SecretStr], ...]


@dataclass(frozen=True, slots=True)
class KafkaOptions(Table):
    """Settings of librdkafka by their own names, which are lower case and have dots alone."""

    def name(self, rest: str) -> str:
        return rest.lower().replace("_", ".").replace("/", ".")

    def parse(self, texts: dict[str, str]) -> Options:
        return tuple((name, SecretStr(texts[name])) for name in sorted(texts))

    def show(self, value: Options) -> dict[str, str]:
        return {
            name: MASK if _CONFIDENTIAL.search(name) else without_logins(text.get_secret_value())
            for name, text in value
        }


class Mq(Section):
    """`mq.*`, after Milvus 2.3; 2.2 goes by what is configured, as `default` does here."""

    type: Annotated[str, Choice(("default", "kafka", "pulsar", "memory")), Fallback(anything)] = (
        "default"
    )


class Kafka(Section):
    """`kafka.*`."""

    broker_list: Annotated[str, Text()] = ""
    sasl_username: Annotated[str, Text()] = ""
    sasl_password: Annotated[SecretStr, Secret()] = SecretStr("")
    sasl_mechanisms: Annotated[str, Text()] = "PLAIN"
    security_protocol: Annotated[str, Text()] = "SASL_SSL"
    producer: Annotated[Options, KafkaOptions()] = ()

    @property
    def has_login(self) -> bool:
        """Whether both halves of a login are there; without, mechanism and protocol are unused."""
        return bool(self.sasl_username and self.sasl_password.get_secret_value())


class Pulsar(Section):
    """`pulsar.*`."""

    address: Annotated[str, Text()] = ""
    # Go goes without Pulsar when the port is not in the file; here it is the shipped one.
    port: Annotated[int, Whole(1, 65535), ReadWith("pulsar.address")] = 6650
    tenant: Annotated[str, Word(), ReadWith("pulsar.address")] = "public"
    namespace: Annotated[str, Word(), ReadWith("pulsar.address")] = "default"
    max_message_size: Annotated[
        int, Whole(1, unit="bytes"), Fallback(no_whole), ReadWith("pulsar.address")
    ] = 5 << 20
    request_timeout_s: Annotated[int, Whole(1, 86_400, unit="s")] = Field(
        default=60, alias="requestTimeout"
    )
    auth_plugin: Annotated[str, Text()] = ""
    auth_params: Annotated[SecretStr, Secret()] = SecretStr("")

    @property
    def url(self) -> str:
        """`pulsar://host:port`; as in Go, an address with a colon is taken as it is."""
        return self.address if ":" in self.address else f"pulsar://{self.address}:{self.port}"

    @property
    def auth_text(self) -> str:
        """The parameters as the client library wants them: `k:v,k:v`, or that as JSON."""
        text = self.auth_params.get_secret_value()
        plugin = self.auth_plugin.rpartition(".")[2].lower().removeprefix("authentication")
        if plugin not in _JSON_AUTH or text.startswith("{"):
            return text
        # Go splits at every colon and so loses addresses; ours keeps them.
        pairs = (part.partition(":") for part in text.split(",") if ":" in part)
        return json.dumps({name: value for name, _, value in pairs})


def which(mq: Mq, kafka: Kafka, pulsar: Pulsar) -> Which | None:
    """The queue in use, None when none is configured. As in Go, Pulsar goes before Kafka."""
    configured: dict[str, bool] = {
        "pulsar": bool(pulsar.address),
        "kafka": bool(kafka.broker_list),
        "memory": mq.type == "memory",
    }
    names: tuple[Which, ...] = ("pulsar", "kafka", "memory")
    for name in names:
        if configured[name] and mq.type in ("default", name):
            return name
    return None
