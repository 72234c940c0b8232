"""TLS on a coordinator's port: by a key of ours alone, and not where Go's processes call."""

from __future__ import annotations

from pathlib import Path

import pytest

from testing.certificates import TestAuthority
from testing.etcd import EtcdMember
from tests.ha.conftest import StartRole

pytestmark = pytest.mark.etcd

GO = '{"ServerID":7,"ServerName":"datacoord","Address":"10.0.0.2:13333","Version":"2.2.16"}'


@pytest.mark.parametrize("mode", ["1", "2"])
async def test_what_milvus_says_of_the_proxy_is_not_of_the_coordinators(
    etcd: EtcdMember, rootcoord: StartRole, mode: str
) -> None:
    """Go 2.2.16's coordinators read neither key, and need no certificates for them."""
    role = rootcoord(etcd.endpoints, env={"COMMON_SECURITY_TLSMODE": mode, "TLS_CAPEMPATH": "/no"})
    role.start()
    await role.wait_active()
    assert role.lines("RootCoord Register Finished")
    assert not role.lines("certificate|tlsMode")


async def test_tls_of_ours_is_refused_where_go_is_registered(
    etcd: EtcdMember, rootcoord: StartRole, tmp_path: Path
) -> None:
    server = TestAuthority(tmp_path / "tls").issue("server")
    env = {
        "HA_TLS_MODE": "1",
        "HA_TLS_SERVERPEMPATH": str(server.cert_file),
        "HA_TLS_SERVERKEYPATH": str(server.key_file),
    }
    await etcd.ctl("put", "by-dev/meta/session/datacoord", GO)
    refused = rootcoord(etcd.endpoints, env=env)
    refused.start()
    assert await refused.wait_exit() == 2
    (refusal,) = refused.lines("ha.tls.mode = 1")
    assert (
        "Go processes of this cluster cannot call us over TLS: datacoord at 10.0.0.2:13333"
        in refusal
    )
    await etcd.ctl("del", "by-dev/meta/session/datacoord")
    alone = rootcoord(etcd.endpoints, env=env)
    alone.start()
    await alone.wait_active()
    await etcd.ctl("put", "by-dev/meta/session/datacoord", GO)
    line = await alone.wait_line("Go processes cannot call us over TLS", 30)
    assert "datacoord at 10.0.0.2:13333" in line
