"""Mistakes end in one clear line and exit code 2; everything else is waited out."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

import milvus_coord
from testing.certificates import TestAuthority, served_serial
from testing.cli import milvus as milvus_cli
from testing.etcd import EtcdMember, EtcdOptions, EtcdTlsFiles
from testing.hammer import Hammer
from testing.ours import OurRole
from testing.ports import free_ports
from tests.conftest import StartEtcd
from tests.ha.conftest import StartRole, started_pair
from tests.ha.test_takeover import ACTIVE_KEY, answers, taken_over


async def milvus(*words: str, **env: str) -> tuple[int, str]:
    """Exit code and standard error of the command."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "milvus_coord",
        *words,
        env={"PATH": os.environ["PATH"], **env},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode is not None
    return process.returncode, errors.decode()


async def test_unknown_role() -> None:
    code, errors = await milvus("run", "rootcord")
    assert code == 2
    assert "unknown role 'rootcord': choose one of rootcoord, datacoord" in errors


async def test_roles_to_come_say_so() -> None:
    for role in ("datacoord", "querycoord", "indexcoord"):
        code, errors = await milvus("run", role)
        assert code == 2
        assert f"{role} is not there yet" in errors


async def test_wrong_setting_names_key_value_and_source() -> None:
    code, errors = await milvus("run", "rootcoord", ROOT_COORD_PORT="70000")
    assert code == 2
    assert "rootCoord.port = 70000" in errors.replace('"', "")
    assert "environment variable ROOT_COORD_PORT" in errors
    assert "65535" in errors


async def test_port_taken_at_start(etcd: EtcdMember, rootcoord: StartRole) -> None:
    role: OurRole = rootcoord(etcd.endpoints)
    with socket.create_server(("127.0.0.1", role.port)):
        role.start()
        assert await role.wait_exit() == 2
    assert role.lines(f"port {role.port} is taken: held by .*{os.getpid()}")
    assert not (await etcd.ctl("get", "--prefix", ACTIVE_KEY)).strip(), "it registered all the same"


async def test_etcd_unreachable_at_start_is_waited_for(
    etcd: EtcdMember, rootcoord: StartRole
) -> None:
    await etcd.stop()
    role: OurRole = rootcoord(etcd.endpoints)
    role.start()
    await role.wait_line("cannot reach etcd, trying on.*" + etcd.client_endpoint)
    assert await role.standing() == 503
    await etcd.start()
    await role.wait_active()
    assert len(role.lines("cannot reach etcd")) == 1, "said once a minute at most"


async def test_etcd_timeout_gives_up(tmp_path: Path) -> None:
    port = free_ports(1)[0]
    began = time.monotonic()
    code, errors = await milvus(
        "run",
        "rootcoord",
        "--etcd-timeout",
        "1",
        ETCD_ENDPOINTS=f"127.0.0.1:{port}",
        METRICS_PORT="0",
    )
    assert code == 1
    assert "could not reach etcd" in errors
    assert time.monotonic() - began < 15


async def test_stop_while_looking_for_etcd(rootcoord: StartRole) -> None:
    role: OurRole = rootcoord([f"127.0.0.1:{free_ports(1)[0]}"])
    role.start()
    await role.wait_line("cannot reach etcd")
    role.terminate()
    assert await role.wait_exit() == 0


async def test_wrong_password(start_etcd: StartEtcd, rootcoord: StartRole) -> None:
    etcd = await start_etcd(1, EtcdOptions())
    await etcd.ctl("user", "add", "root:right")
    await etcd.ctl("user", "grant-role", "root", "root")
    await etcd.ctl("auth", "enable")
    wrong: OurRole = rootcoord(
        etcd.endpoints,
        env={"ETCD_AUTH_ENABLED": "true", "ETCD_AUTH_USERNAME": "root", "ETCD_AUTH_PASSWORD": "no"},
    )
    wrong.start()
    assert await wrong.wait_exit() == 2
    assert wrong.lines("milvus: .*(password|authentication)")
    right: OurRole = rootcoord(
        etcd.endpoints,
        env={
            "ETCD_AUTH_ENABLED": "true",
            "ETCD_AUTH_USERNAME": "root",
            "ETCD_AUTH_PASSWORD": "right",
        },
    )
    right.start()
    await right.wait_active()
    assert "right" not in right.log_file.read_text().replace("rights", "")


@pytest.mark.parametrize(
    ("env", "module", "extra"),
    [
        ({"KAFKA_BROKER_LIST": "k:9092"}, "confluent_kafka", "kafka"),
        ({"PULSAR_ADDRESS": "p"}, "pulsar", "pulsar"),
    ],
)
async def test_a_queue_without_its_library_is_found_before_anything_is_registered(
    etcd: EtcdMember,
    rootcoord: StartRole,
    tmp_path: Path,
    env: dict[str, str],
    module: str,
    extra: str,
) -> None:
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nsys.modules[{module!r}] = None\n")
    root = Path(milvus_coord.__file__).parents[1]
    role: OurRole = rootcoord(etcd.endpoints, env={**env, "PYTHONPATH": f"{tmp_path}:{root}"})
    role.start()
    assert await role.wait_exit() == 2
    assert role.lines(rf"milvus: {extra} needs the Python package .*milvus-coord\[{extra}\]")
    assert not (await etcd.ctl("get", "--prefix", "by-dev/")).strip(), "it registered all the same"


async def test_junk_in_a_session_key_is_named_and_harmless(
    etcd: EtcdMember, rootcoord: StartRole, tmp_path: Path
) -> None:
    await etcd.ctl("put", f"{ACTIVE_KEY}-99", '{"ServerID":"ninety-nine"}')
    await etcd.ctl("put", f"{ACTIVE_KEY}-98", "\x01junk")
    active, standby = await started_pair(rootcoord, etcd.endpoints, session_ttl_s=30)
    assert active.lines("a session key is not readable.*rootcoord-99 holds no session")
    async with Hammer([active.address, standby.address], folder=tmp_path) as hammer:
        await answers(hammer, active)
        active.terminate()
        await taken_over(hammer, active, standby)
    assert "ninety-nine" in await etcd.ctl("get", f"{ACTIVE_KEY}-99"), "what is not ours stays"


async def test_second_process_without_ha_waits_and_says_for_whom(
    etcd: EtcdMember, rootcoord: StartRole, tmp_path: Path
) -> None:
    alone = {"ROOT_COORD_ENABLE_ACTIVE_STANDBY": "false"}
    first: OurRole = rootcoord(etcd.endpoints, env=alone)
    first.start()
    await first.wait_active()
    second: OurRole = rootcoord(etcd.endpoints, env=alone)
    second.start()
    line = await second.wait_line("waiting for another rootcoord to go", within_s=15)
    assert f"server 1 at {first.address}" in line
    assert "lease_left_s=" in line
    assert "rootCoord.enableActiveStandby: true" in line
    assert not second.lines("STANDBY")
    async with Hammer([first.address, second.address], folder=tmp_path) as hammer:
        await answers(hammer, first)
        first.kill()
        await taken_over(hammer, first, second)
    assert (await etcd.ctl("get", "--prefix", ACTIVE_KEY, "--keys-only")).split() == [ACTIVE_KEY]


async def test_id_counter_that_is_no_number(etcd: EtcdMember, rootcoord: StartRole) -> None:
    counter = "by-dev/meta/session/id"
    await etcd.ctl("put", counter, "seven")
    role: OurRole = rootcoord(etcd.endpoints)
    role.start()
    line = await role.wait_line("cannot take a server id, trying on")
    assert counter in line
    assert "seven" in line
    await etcd.ctl("put", counter, "7")
    await role.wait_active()
    assert (await etcd.ctl("get", counter)).split()[-1] == "8"


async def test_allocator_bound_that_is_no_bound(etcd: EtcdMember, rootcoord: StartRole) -> None:
    """Go 2.2.16 gives up on it as well; a bound is never taken for zero."""
    await etcd.ctl("put", "by-dev/kv/tso/timestamp", "soon")
    role: OurRole = rootcoord(etcd.endpoints)
    role.start()
    await role.wait_line("RootCoord start failed.*by-dev/kv/tso/timestamp holds b'soon'")
    assert role.running
    await etcd.ctl("del", "by-dev/kv/tso/timestamp")
    await role.wait_active()


async def test_settings_in_etcd_go_first_and_are_checked(
    etcd: EtcdMember, rootcoord: StartRole
) -> None:
    overlay = "by-dev/meta/config/rootCoord/port"
    await etcd.ctl("put", overlay, "all")
    wrong: OurRole = rootcoord(etcd.endpoints)
    wrong.start()
    await wrong.wait_active()
    assert wrong.lines(rf"\[WARN\].*rootCoord.port.*etcd {overlay}.*is passed over")
    assert await wrong.stop() == 0
    port = free_ports(1)[0]
    await etcd.ctl("put", overlay, str(port))
    right: OurRole = rootcoord(etcd.endpoints)
    right.start()
    await right.wait_active()
    with socket.create_connection(("127.0.0.1", port), timeout=1):
        pass


async def test_sighup_reopens_the_log_and_changes_nothing_else(
    etcd: EtcdMember, rootcoord: StartRole, tmp_path: Path
) -> None:
    logs = tmp_path / "logs"
    role: OurRole = rootcoord(etcd.endpoints, env={"LOG_FILE_ROOT_PATH": str(logs)})
    role.start()
    await role.wait_active()
    file = logs / "rootcoord-1.log"
    file.rename(logs / "away")
    os.kill(role.pid, signal.SIGHUP)
    await role.wait_line("reloaded on SIGHUP: log file reopened")
    async with asyncio.timeout(5):
        while not (file.exists() and "SIGHUP" in file.read_text()):
            await asyncio.sleep(0.01)
    assert await role.standing() == 200
    assert role.running


async def test_sighup_reads_a_renewed_certificate(
    etcd: EtcdMember, rootcoord: StartRole, tmp_path: Path
) -> None:
    authority = TestAuthority(tmp_path / "tls")
    server = authority.issue("server")
    role: OurRole = rootcoord(
        etcd.endpoints,
        env={
            "HA_TLS_MODE": "1",
            "HA_TLS_SERVERPEMPATH": str(server.cert_file),
            "HA_TLS_SERVERKEYPATH": str(server.key_file),
            "HA_TLS_CAPEMPATH": str(authority.ca_file),
        },
    )
    role.start()
    await role.wait_active()
    ca = str(authority.ca_file)
    before = await served_serial(role.port, ca)
    authority.issue("server")
    os.kill(role.pid, signal.SIGHUP)
    await role.wait_line("certificate read again")
    assert await served_serial(role.port, ca) != before
    assert await role.standing() == 200


async def test_expired_certificate_is_named(rootcoord: StartRole, tmp_path: Path) -> None:
    authority = TestAuthority(tmp_path / "tls")
    expired = authority.issue("expired", valid_from_days=-30, valid_days=-1)
    role: OurRole = rootcoord(
        [f"127.0.0.1:{free_ports(1)[0]}"],
        env={
            "ETCD_SSL_ENABLED": "true",
            "ETCD_SSL_TLSCERT": str(expired.cert_file),
            "ETCD_SSL_TLSKEY": str(expired.key_file),
            "ETCD_SSL_TLSCACERT": str(authority.ca_file),
        },
    )
    role.start()
    assert await role.wait_exit() == 2
    assert role.lines(f"milvus: .*{expired.cert_file}.*expired")


async def test_etcd_over_tls(start_etcd: StartEtcd, rootcoord: StartRole, tmp_path: Path) -> None:
    authority = TestAuthority(tmp_path / "tls")
    server, ours = authority.issue("server"), authority.issue("ours")
    files = EtcdTlsFiles(server.cert_file, server.key_file, authority.ca_file)
    etcd = await start_etcd(1, EtcdOptions(tls=files))
    role: OurRole = rootcoord(
        etcd.endpoints,
        env={
            "ETCD_SSL_ENABLED": "true",
            "ETCD_SSL_TLSCERT": str(ours.cert_file),
            "ETCD_SSL_TLSKEY": str(ours.key_file),
            "ETCD_SSL_TLSCACERT": str(authority.ca_file),
            "ETCD_SSL_TLSMINVERSION": "1.2",
        },
    )
    role.start()
    await role.wait_active()


async def test_an_address_of_the_wild_is_one_warning_and_doctor_dials_it(
    etcd: EtcdMember, rootcoord: StartRole
) -> None:
    port = free_ports(1)[0]
    lost: OurRole = rootcoord(
        etcd.endpoints,
        session_ttl_s=30,
        env={"ROOT_COORD_ADDRESS": f"127.0.0.1:{port}", "LOG_LEVEL": "", "MQ_TYPE": "memory"},
    )
    lost.start()
    await lost.wait_active()
    line = await lost.wait_line("others may not find us at the advertised address")
    assert "environment variable ROOT_COORD_ADDRESS" in line
    assert f"we listen on rootCoord.port = {lost.port}, not on {port}" in line
    assert lost.lines(r"WARN.*log\.level = ")
    said = await milvus_cli("doctor", "rootcoord", etcd=etcd.endpoints)
    assert said.code == 3
    assert f"advertises 127.0.0.1:{port}, which cannot be dialled from here" in said.out
    assert len(lost.lines("others may not find us")) == 1
