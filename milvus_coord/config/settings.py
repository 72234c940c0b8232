"""The tree of all settings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Final, Self

from pydantic import Field
from pydantic.alias_generators import to_camel
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from milvus_coord.config.common import Common, MsgChannel, Tls
from milvus_coord.config.etcd import Etcd
from milvus_coord.config.kinds import Whole
from milvus_coord.config.limits import QuotaAndLimits
from milvus_coord.config.mq import Kafka, Mq, Pulsar, Which, which
from milvus_coord.config.process import Ha, Log
from milvus_coord.config.roles import (
    AutoIndex,
    Coordinator,
    DataCoord,
    Grpc,
    IndexCoord,
    Proxy,
    QueryCoord,
    RoleSettings,
    RootCoord,
    role_settings,
)
from milvus_coord.config.section import Only

#: Role name on the command line and in session keys -> its section in the file.
ROLES: Final = {
    "rootcoord": "rootCoord",
    "datacoord": "dataCoord",
    "querycoord": "queryCoord",
    "indexcoord": "indexCoord",
}
METRICS_PORT: Final = "METRICS_PORT"
_NOT_FROM_ETCD = Only(
    frozenset({"environment", "file"}), "it is needed to reach etcd, so it cannot come from there"
)
_ENVIRONMENT_ONLY = Only(frozenset({"environment"}), "it is read from the environment alone")


class Settings(BaseSettings):
    """All settings, frozen. `load` makes them; `Settings()` is the built-in defaults alone."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        alias_generator=to_camel,
        hide_input_in_errors=True,
        validate_default=False,
    )

    etcd: Annotated[Etcd, _NOT_FROM_ETCD] = Etcd()
    common: Common = Common()
    msg_channel: MsgChannel = MsgChannel()
    tls: Tls = Tls()
    grpc: Grpc = Grpc()
    root_coord: RootCoord = RootCoord()
    data_coord: DataCoord = DataCoord()
    query_coord: QueryCoord = QueryCoord()
    index_coord: IndexCoord = IndexCoord()
    proxy: Proxy = Proxy()
    auto_index: AutoIndex = AutoIndex()
    quota_and_limits: QuotaAndLimits = QuotaAndLimits()
    mq: Mq = Mq()
    pulsar: Pulsar = Pulsar()
    kafka: Kafka = Kafka()
    log: Log = Log()
    ha: Ha = Ha()
    metrics_port: Annotated[int, Whole(0, 65535), _ENVIRONMENT_ONLY] = Field(
        default=9091, alias=METRICS_PORT
    )

    def role(self, name: str) -> RoleSettings:
        """The settings of one role, named as in session keys. Raises KeyError for other names."""
        sections: dict[str, Coordinator] = {
            "rootcoord": self.root_coord,
            "datacoord": self.data_coord,
            "querycoord": self.query_coord,
            "indexcoord": self.index_coord,
        }
        return role_settings(name, sections[name], self.grpc)

    @property
    def queue(self) -> Which | None:
        """The message queue in use, None when none is configured."""
        return which(self.mq, self.kafka, self.pulsar)

    @classmethod
    def read(cls, sources: Iterable[PydanticBaseSettingsSource]) -> Self:
        """What `sources` say, the first wins, else the default. Raises ValidationError."""
        given: dict[str, Any] = {"sources": tuple(sources)}
        return cls(**given)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Our own sources (see `read`) and none of the usual ones."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        given: tuple[PydanticBaseSettingsSource, ...] = init_settings().get("sources", ())
        return given or (init_settings,)
