"""TLS towards etcd, with a certificate authority of the test's own."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from milvus_coord.etcd.client.client import EtcdClient
from milvus_coord.etcd.errors import CertificateError, Unavailable
from milvus_coord.etcd.settings import EtcdSettings, EtcdTls
from milvus_coord.runtime.clock import SystemClock
from testing.certificates import Issued, TestAuthority
from testing.etcd import EtcdCluster, EtcdMember, EtcdOptions, EtcdTlsFiles
from tests.conftest import StartEtcd
from tests.contract.etcd_helpers import connected, numbers, write

pytestmark = pytest.mark.etcd


@pytest.fixture
def authority(tmp_path: Path) -> TestAuthority:
    return TestAuthority(tmp_path / "ca")


@pytest.fixture
async def secure(start_etcd: StartEtcd, authority: TestAuthority) -> tuple[EtcdCluster, EtcdTls]:
    """An etcd that wants client certificates, and settings that satisfy it."""
    server, client = authority.issue("server"), authority.issue("client")
    files = EtcdTlsFiles(server.cert_file, server.key_file, authority.ca_file)
    return await start_etcd(1, EtcdOptions(tls=files)), _tls(authority, client)


def _tls(authority: TestAuthority, client: Issued) -> EtcdTls:
    return EtcdTls(
        ca_file=str(authority.ca_file),
        cert_file=str(client.cert_file),
        key_file=str(client.key_file),
        min_version="1.2",
    )


async def _refused(endpoints: tuple[str, ...], tls: EtcdTls | None) -> str:
    """What connecting fails with."""
    settings = EtcdSettings(endpoints, tls=tls, request_timeout_s=1.0)
    client = EtcdClient(settings, SystemClock())
    try:
        with pytest.raises(Unavailable) as caught:
            await client.connect()
    finally:
        await client.close()
    return str(caught.value)


async def test_everything_goes_over_tls(secure: tuple[EtcdCluster, EtcdTls]) -> None:
    etcd, tls = secure
    (member,) = etcd.members
    for endpoint in (
        member.client_endpoint,
        f"localhost:{member.client_port}",
        f"https://{member.client_endpoint}",
    ):
        async with (
            connected((endpoint,), EtcdSettings((endpoint,), tls=tls)) as client,
            aclosing(client.watch(b"n", start_revision=1)) as watch,
        ):
            lease = await client.lease_grant(60)
            assert await client.keep_alive_once(lease.id, timeout_s=5.0) == 60
            await write(client, b"n", b"1")
            assert (await numbers(watch, 1))[-1] == 1


async def test_tls_1_3_is_required_and_spoken(etcd: EtcdMember, authority: TestAuthority) -> None:
    tls = EtcdTls(str(authority.ca_file), min_version="1.3")
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        async with tls_front(etcd, authority.issue("server"), version) as (endpoint, spoken):
            if version is ssl.TLSVersion.TLSv1_2:
                assert "no TLS 1.3" in await _refused((endpoint,), tls)
                continue
            async with connected((endpoint,), EtcdSettings((endpoint,), tls=tls)) as client:
                await write(client, b"k", b"1")
            assert set(spoken) == {"TLSv1.3"}


@asynccontextmanager
async def tls_front(
    etcd: EtcdMember, server: Issued, version: ssl.TLSVersion
) -> AsyncIterator[tuple[str, list[str]]]:
    """TLS of exactly `version` before a plain etcd: the endpoint, and what clients spoke.

    etcd 3.5.1 itself knows nothing above 1.2.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(server.cert_file, server.key_file)
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2"])
    spoken: list[str] = []
    links: dict[asyncio.Task[Any] | None, tuple[asyncio.StreamWriter, ...]] = {}

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        spoken.append(writer.get_extra_info("ssl_object").version())
        back_reader, back_writer = await asyncio.open_connection("127.0.0.1", etcd.client_port)
        links[asyncio.current_task()] = (writer, back_writer)
        await asyncio.gather(copy(reader, back_writer), copy(back_reader, writer))

    front = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with front:
        yield f"127.0.0.1:{front.sockets[0].getsockname()[1]}", spoken
    for task, writers in links.items():
        for writer in writers:
            writer.close()
        if task is not None:
            await asyncio.wait({task})


async def test_a_server_of_another_authority_is_refused(
    secure: tuple[EtcdCluster, EtcdTls], tmp_path: Path
) -> None:
    etcd, tls = secure
    stranger = TestAuthority(tmp_path / "other", "other ca")
    text = await _refused(etcd.endpoints, replace(tls, ca_file=str(stranger.ca_file)))
    assert "CERTIFICATE_VERIFY_FAILED" in text
    assert etcd.client_endpoint in text


async def test_an_expired_server_certificate_is_named_so(
    start_etcd: StartEtcd, authority: TestAuthority
) -> None:
    server = authority.issue("server", valid_days=-1)
    files = EtcdTlsFiles(server.cert_file, server.key_file)
    etcd = await start_etcd(1, EtcdOptions(tls=files))
    assert "expired" in await _refused(
        etcd.endpoints, EtcdTls(str(authority.ca_file), min_version="1.2")
    )


async def test_plain_text_to_a_tls_port_is_no_connection(
    secure: tuple[EtcdCluster, EtcdTls],
) -> None:
    etcd, _ = secure
    assert etcd.client_endpoint in await _refused(etcd.endpoints, None)


async def test_an_expired_client_certificate_is_found_before_connecting(
    secure: tuple[EtcdCluster, EtcdTls], authority: TestAuthority
) -> None:
    etcd, _ = secure
    tls = _tls(authority, authority.issue("late", valid_days=-2))
    client = EtcdClient(EtcdSettings(etcd.endpoints, tls=tls), SystemClock())
    with pytest.raises(CertificateError, match=r"late\.pem: .*CN=late expired at 20\d\d-\d\d-\d\d"):
        await client.connect()
    await client.close()


def test_cryptography_is_loaded_only_when_needed() -> None:
    code = "import sys, milvus_coord.etcd.client.client; sys.exit('cryptography' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
