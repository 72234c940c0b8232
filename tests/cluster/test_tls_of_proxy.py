"""Milvus' TLS settings are of the proxy's port alone: coordinators speak plain beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from testing.certificates import TestAuthority
from testing.cluster import cluster, pair_under_test
from testing.cluster_pymilvus import Pymilvus, PymilvusError
from testing.cluster_rows import FIELDS, INDEX, at, rows
from testing.go_milvus import GoMilvus

pytestmark = [pytest.mark.etcd, pytest.mark.go, pytest.mark.timeout(180)]


@pytest.mark.parametrize(
    ("mode", "everywhere"),
    [
        pytest.param("0", True, id="off"),
        pytest.param("1", False, id="server"),
        pytest.param("2", True, id="both sides"),
    ],
)
async def test_a_cluster_works_over_tls_to_its_proxy(
    go_milvus: GoMilvus, pymilvus_library: Path, tmp_path: Path, mode: str, everywhere: bool
) -> None:
    """`everywhere`: all processes find the certificates, else the proxy alone."""
    pytest.importorskip("confluent_kafka")
    authority = TestAuthority(tmp_path / "tls")
    server, user = authority.issue("server"), authority.issue("user")

    def settings(role: str) -> Mapping[str, str]:
        here = everywhere or role == "proxy"
        return {
            "common.security.tlsMode": mode,
            "tls.serverPemPath": str(server.cert_file if here else tmp_path / "none.pem"),
            "tls.serverKeyPath": str(server.key_file if here else tmp_path / "none.key"),
            "tls.caPemPath": str(authority.ca_file if here else tmp_path / "none.ca"),
        }

    tls: dict[str, dict[str, object]] = {
        "0": {},
        "1": {"server_pem_path": str(authority.ca_file)},
        "2": {
            "ca_pem_path": str(authority.ca_file),
            "client_pem_path": str(user.cert_file),
            "client_key_path": str(user.key_file),
        },
    }
    how = tls[mode] and {"secure": True, "server_name": "localhost", **tls[mode]}
    pair = pair_under_test()
    async with cluster(go_milvus, tmp_path / "milvus", pair=pair, settings=settings) as made:
        client = Pymilvus(pymilvus_library, made.address, folder=tmp_path / "pymilvus")
        try:
            await client.begin()
            if how:
                with pytest.raises(PymilvusError):
                    await client.login()
            someone = await client.login(tls=how)
            await someone.create_collection("sealed", FIELDS)
            await someone.insert("sealed", rows(range(10)))
            await someone.create_index("sealed", "vector", INDEX)
            await someone.load("sealed")
            assert await someone.search("sealed", [at(5.2)], 2) == [[5, 6]]
            await made.take_over("SIGKILL")
            await someone.drop_collection("sealed")
            assert await someone.list_collections() == []
        finally:
            client.kill()
