"""A renewed certificate reaches a live server: on request, and by itself when its files change."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from pathlib import Path

import pytest

from milvus_coord.app.certificates import Certificates
from milvus_coord.config import Settings
from milvus_coord.rpc.tls import ServerTls
from milvus_coord.runtime.clock import ManualClock
from milvus_coord.runtime.race import cancel_and_wait
from testing.certificates import TestAuthority, served_serial
from testing.log_lines import log_lines
from testing.rpc import serving


class Renewable:
    """The files of one process, and an authority that issues them anew."""

    def __init__(self, folder: Path, mode: int = 1) -> None:
        self.authority = TestAuthority(folder)
        self.ca = str(self.authority.ca_file)
        self.files = self.authority.issue("server")
        sections = {
            "ha": {
                "tls": {
                    "mode": str(mode),
                    "serverPemPath": str(self.files.cert_file),
                    "serverKeyPath": str(self.files.key_file),
                    "caPemPath": self.ca,
                }
            },
        }
        self.certificates = Certificates(Settings(**sections))  # type: ignore[arg-type]

    def renew(self) -> None:
        self.authority.issue("server")


async def test_on_request(tmp_path: Path) -> None:
    renewable = Renewable(tmp_path)
    async with serving(tls=renewable.certificates.server) as served:
        before = await served_serial(served.port, renewable.ca)
        renewable.renew()
        assert await served_serial(served.port, renewable.ca) == before
        renewable.certificates.reload()
        assert await served_serial(served.port, renewable.ca) != before


async def test_by_itself_within_a_minute(tmp_path: Path) -> None:
    renewable, clock = Renewable(tmp_path), ManualClock()
    async with serving(tls=renewable.certificates.server) as served:
        looking = asyncio.create_task(renewable.certificates.loop().run(clock))
        before = await served_serial(served.port, renewable.ca)
        with log_lines() as lines:
            clock.advance(60.0)
            assert await served_serial(served.port, renewable.ca) == before
            assert lines == [], "nothing has changed"
        renewable.renew()
        clock.advance(60.0)
        await asyncio.sleep(0)
        assert await served_serial(served.port, renewable.ca) != before
        await cancel_and_wait(looking)


async def test_files_renewed_while_they_are_read_at_start_are_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load_and_renew(*files: str, mutual: bool) -> ServerTls:
        loaded = ServerTls(*files, mutual=mutual)
        TestAuthority(tmp_path).issue("server")
        return loaded

    monkeypatch.setattr("milvus_coord.app.certificates.ServerTls", load_and_renew)
    with log_lines() as lines:
        await looks(Renewable(tmp_path))
    assert [line.message for line in lines] == ["certificate read again"]


async def test_files_that_could_not_be_read_are_tried_again_without_another_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their mode may be corrected later, which changes no time of change."""
    renewable = Renewable(tmp_path)
    renewable.renew()
    with monkeypatch.context() as patch, log_lines() as lines:
        patch.setattr(Path, "open", _denied)
        await looks(renewable)
    assert [line.level for line in lines] == ["WARN"]
    with log_lines() as lines:
        await looks(renewable)
        await looks(renewable)
    assert [line.message for line in lines] == ["certificate read again"]


def _denied(*_: object) -> None:
    raise PermissionError(13, "Permission denied")


async def looks(renewable: Renewable) -> None:
    await renewable.certificates.loop().turn()


async def test_files_that_do_not_fit_are_told_and_not_used(tmp_path: Path) -> None:
    renewable = Renewable(tmp_path)
    async with serving(tls=renewable.certificates.server) as served:
        before = await served_serial(served.port, renewable.ca)
        shutil.copy(renewable.authority.issue("other").key_file, renewable.files.key_file)
        with log_lines() as lines:
            renewable.certificates.reload()
        assert [(line.level, line.message) for line in lines] == [
            ("WARN", "certificate not read again, the one before stays in use")
        ]
        assert await served_serial(served.port, renewable.ca) == before


@pytest.mark.parametrize("mode", [1, 2])
async def test_a_standby_takes_the_renewed_certificate_of_its_active(
    tmp_path: Path, mode: int
) -> None:
    """Both halves of a pair may share a certificate that no authority has signed."""
    renewable = Renewable(tmp_path, mode)
    certificates = renewable.certificates
    assert certificates.client is not None
    renewable.renew()
    certificates.reload()
    async with serving(tls=certificates.server) as served:
        _, writer = await asyncio.open_connection("127.0.0.1", served.port, ssl=certificates.client)
        shown: ssl.SSLObject = writer.get_extra_info("ssl_object")
        assert shown.selected_alpn_protocol() == "h2"
        writer.transport.abort()


def test_without_tls_there_is_nothing_to_read() -> None:
    certificates = Certificates(Settings())
    assert (certificates.server, certificates.client) == (None, None)
    with log_lines() as lines:
        certificates.reload()
    assert lines == []
