"""Beats where the coordinators' port has TLS: with an authority, with a shared certificate."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from milvus_coord.rpc.heartbeat.message import BeatsUnreachable
from milvus_coord.rpc.heartbeat.subscription import BeatStream
from milvus_coord.rpc.tls import ClientTls, ServerTls, TlsFileError
from testing.beats import Heart, serving_beats
from testing.certificates import Issued, TestAuthority
from testing.rpc import eventually

CONNECT_S = 5.0


class Files:
    """One authority, a certificate for each half of a pair, and those of strangers."""

    def __init__(self, folder: Path) -> None:
        authority, elsewhere = TestAuthority(folder), TestAuthority(folder / "elsewhere")
        self.ca = str(authority.ca_file)
        self.other_ca = str(elsewhere.ca_file)
        self.one, self.two = authority.issue("one"), authority.issue("two")
        self.stranger = elsewhere.issue("stranger")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("tls"))


def _server(pair: Issued, ca: str | None = None) -> ServerTls:
    return ServerTls(str(pair.cert_file), str(pair.key_file), ca, mutual=ca is not None)


def _follow(address: str, pair: Issued, ca: str | None = None) -> BeatStream:
    context = ClientTls(str(pair.cert_file), str(pair.key_file), ca).context
    return BeatStream(address, context, CONNECT_S)


async def test_an_authority_vouches_for_the_server(files: Files) -> None:
    async with serving_beats(Heart(), tls=_server(files.one)) as (server, address):
        async with _follow(address, files.two, files.ca) as beats:
            assert [(await beats.next()).epoch for _ in range(3)] == [0, 1, 2]
        await eventually(lambda: server.connections == 0)


async def test_both_halves_have_the_same_certificate(files: Files) -> None:
    """Without an authority, as `tlsMode: 1` allows."""
    server = serving_beats(Heart(), tls=_server(files.one))
    async with server as (_, address), _follow(address, files.one) as beats:
        assert (await beats.next()).epoch == 0


async def test_a_server_may_ask_for_our_certificate(files: Files) -> None:
    async with serving_beats(Heart(), tls=_server(files.one, files.ca)) as (_, address):
        async with _follow(address, files.two, files.ca) as beats:
            assert (await beats.next()).epoch == 0
        with pytest.raises(BeatsUnreachable):
            await _follow(address, files.stranger, files.ca).__aenter__()


async def test_a_stranger_s_beats_are_not_heard(files: Files) -> None:
    heart = Heart()
    async with serving_beats(heart, tls=_server(files.one)) as (_, address):
        for ca in (None, files.other_ca):
            with pytest.raises(BeatsUnreachable, match="CERTIFICATE_VERIFY_FAILED"):
                await _follow(address, files.stranger, ca).__aenter__()
    assert heart.beats == 0


async def test_tls_on_one_side_alone_is_unreachable(files: Files) -> None:
    async with serving_beats(Heart(), tls=_server(files.one)) as (_, address):
        with pytest.raises(BeatsUnreachable):
            await BeatStream(address, None, CONNECT_S).__aenter__()
    async with serving_beats(Heart()) as (_, address):
        with pytest.raises(BeatsUnreachable):
            await _follow(address, files.two, files.ca).__aenter__()


async def test_a_handshake_that_is_never_answered_is_unreachable(files: Files) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        context = ClientTls(str(files.two.cert_file), str(files.two.key_file)).context
        with pytest.raises(BeatsUnreachable, match=r"no beat within 0\.1 s"):
            await BeatStream(f"127.0.0.1:{port}", context, 0.1).__aenter__()


def test_files_that_cannot_be_used_are_named(files: Files, tmp_path: Path) -> None:
    one, missing = files.one, str(tmp_path / "missing.pem")
    with pytest.raises(TlsFileError, match=r"missing\.pem"):
        ClientTls(missing, str(one.key_file))
    with pytest.raises(TlsFileError, match=r"missing\.pem"):
        ClientTls(str(one.cert_file), str(one.key_file), missing)
    with pytest.raises(TlsFileError, match=r"two\.key"):
        ClientTls(str(one.cert_file), str(files.two.key_file))
