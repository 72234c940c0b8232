"""`etcd.*`: where the metadata is, and how to reach it."""

from __future__ import annotations

import posixpath
from typing import Annotated

from pydantic import Field, SecretStr

from milvus_coord.config.fallback import Fallback, ReadWith, below, has_holes, without_holes
from milvus_coord.config.kinds import Choice, Endpoints, Flag, Secret, Text, Whole, Word
from milvus_coord.config.section import Section

LEVELS = ("debug", "info", "warn", "error", "panic", "fatal")


class Metastore(Section):
    """`metastore.*`: where the metadata is; Go 2.2.16's RootCoord refuses all but etcd, too."""

    type: Annotated[str, Choice(("etcd",))] = "etcd"


class EtcdSsl(Section):
    """`etcd.ssl.*`: mutual TLS; all three files are needed when enabled."""

    enabled: Annotated[bool, Flag()] = False
    tls_cert: Annotated[str, Text()] = ""
    tls_key: Annotated[str, Text()] = ""
    tls_ca_cert: Annotated[str, Text()] = Field(default="", alias="tlsCACert")
    tls_min_version: Annotated[
        str, Choice(("1.0", "1.1", "1.2", "1.3")), ReadWith("etcd.ssl.enabled")
    ] = "1.3"


class EtcdAuth(Section):
    """`etcd.auth.*`: user and password, under the names Milvus 2.3 gave them (2.2 has none)."""

    enabled: Annotated[bool, Flag()] = False
    user_name: Annotated[str, Text()] = ""
    password: Annotated[SecretStr, Secret()] = SecretStr("")


class Etcd(Section):
    """`etcd.*`."""

    endpoints: Annotated[tuple[str, ...], Endpoints(), Fallback(has_holes, without_holes)] = (
        "localhost:2379",
    )
    root_path: Annotated[str, Text()] = "by-dev"
    meta_sub_path: Annotated[str, Word()] = "meta"
    kv_sub_path: Annotated[str, Word()] = "kv"
    request_timeout_ms: Annotated[int, Whole(1, unit="ms"), Fallback(below(0))] = Field(
        default=30_000, alias="requestTimeout"
    )
    ssl: EtcdSsl = EtcdSsl()
    auth: EtcdAuth = EtcdAuth()
    use_embed: Annotated[bool, Flag()] = Field(default=False, alias="use.embed")
    data_dir: Annotated[str, Text()] = Field(default="default.etcd", alias="data.dir")
    config_path: Annotated[str, Text()] = Field(default="", alias="config.path")
    log_level: Annotated[str, Choice(LEVELS), ReadWith("etcd.use.embed")] = Field(
        default="info", alias="log.level"
    )
    log_path: Annotated[str, Text()] = Field(default="stdout", alias="log.path")

    @property
    def meta_root(self) -> str:
        """Root of the metadata, "by-dev/meta"."""
        return join_path(self.root_path, self.meta_sub_path)

    @property
    def kv_root(self) -> str:
        """Root of the persisted windows of the allocators, "by-dev/kv"."""
        return join_path(self.root_path, self.kv_sub_path)


def join_path(*parts: str) -> str:
    """Join key parts as Go's path.Join does: no doubled or trailing slash, no empty parts."""
    joined = "/".join(part for part in parts if part)
    if not joined:
        return ""
    path = posixpath.normpath(joined)
    return path[1:] if path.startswith("//") else path
