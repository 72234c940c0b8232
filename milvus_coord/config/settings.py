"""The tree of all settings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Final, Self

from pydantic import Field
from pydantic.alias_generators import to_camel
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from milvus_coord.config.common import Common, MsgChannel
from milvus_coord.config.datacoord import DataCoord
from milvus_coord.config.etcd import Etcd, Metastore
from milvus_coord.config.fallback import Fallback, no_whole
from milvus_coord.config.indexcoord import IndexCoord
from milvus_coord.config.kinds import Whole
from milvus_coord.config.limits import QuotaAndLimits
from milvus_coord.config.mq import Kafka, Mq, Pulsar, Which, which
from milvus_coord.config.process import Ha, Log
from milvus_coord.config.querycoord import QueryCoord
from milvus_coord.config.role import Coordinator, Grpc, RoleSettings, role_settings
from milvus_coord.config.rootcoord import AutoIndex, Proxy, RootCoord
from milvus_coord.config.section import Only
from milvus_coord.model.roles import SECTIONS

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
    metastore: Metastore = Metastore()
    common: Common = Common()
    msg_channel: MsgChannel = MsgChannel()
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
    metrics_port: Annotated[int, Whole(0, 65535), _ENVIRONMENT_ONLY, Fallback(no_whole)] = Field(
        default=9091, alias=METRICS_PORT
    )

    def section(self, role: str) -> Coordinator:
        """The section of a role, named as in session keys. Raises KeyError for other names."""
        names = {field.alias: name for name, field in type(self).model_fields.items()}
        section: Coordinator = getattr(self, names[SECTIONS[role]])
        return section

    def role(self, name: str) -> RoleSettings:
        """Its settings together with what all roles share. Raises the same."""
        return role_settings(name, self.section(name), self.grpc)

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
