"""A running pair and its verbs: no output, log, metric, key in etcd or error has a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from testing.cli import milvus
from testing.etcd import EtcdCluster, EtcdOptions
from testing.ports import free_ports
from tests.conftest import StartEtcd
from tests.ha.conftest import StartRole

pytestmark = pytest.mark.etcd

PLANT = "hunter2PLANT"


async def test_nothing_that_a_pair_says_has_a_secret(
    start_etcd: StartEtcd, rootcoord: StartRole, tmp_path: Path
) -> None:
    etcd: EtcdCluster = await start_etcd(1, EtcdOptions(extra_args=("--bcrypt-cost=4",)))
    for command in (f"user add root:{PLANT}", "user grant-role root root", "auth enable"):
        await etcd.ctl(*command.split())
    broker = free_ports(1)[0]
    settings = tmp_path / "milvus.yaml"
    settings.write_text(f"kafka: {{producer: {{client.id: 'http://u:{PLANT}@h:1'}}}}\n")
    env = {
        "ETCD_AUTH_ENABLED": "true",
        "ETCD_AUTH_USERNAME": "root",
        "ETCD_AUTH_PASSWORD": PLANT,
        "MILVUSCONF": str(tmp_path),
        "MQ_TYPE": "kafka",
        "KAFKA_BROKER_LIST": f"127.0.0.1:{broker}",
        "KAFKA_SASL_USERNAME": "coord",
        "KAFKA_SASL_PASSWORD": PLANT,
        "KAFKA_PRODUCER_SASL_OAUTHBEARER_CLIENT_SECRET": PLANT,
        "KAFKA_PRODUCER_SSL_KEY_PASSWORD": PLANT,
        "PULSAR_AUTH_PARAMS": f"token:{PLANT}",
    }
    role = rootcoord(etcd.endpoints, env=env)
    role.start()
    await role.wait_active()
    paths = ("/metrics", "/role", "/mirror?dump", "/readyz?verbose", "/livez", "/log/level")
    told = [(await role.http(path))[1] for path in paths]
    prefixes = ("by-dev/meta/ha/", "by-dev/meta/session/")
    told += [await etcd.ctl(f"--user=root:{PLANT}", "get", "--prefix", each) for each in prefixes]
    for words in (
        ("status",),
        ("doctor",),
        ("history",),
        ("check", "mirror", "rootcoord"),
        ("config", "show", "rootcoord"),
        ("config", "show", "rootcoord", "-o", "json"),
        ("config", "show", "rootcoord", "--endpoints", f"http://root:{PLANT}@127.0.0.1:1"),
    ):
        said = await milvus(*words, etcd=etcd.endpoints, env=env)
        assert said.out + said.err
        told += [said.out, said.err]
    said = await milvus("status", etcd=etcd.endpoints, env={**env, "ETCD_AUTH_PASSWORD": "x"})
    assert said.code == 2
    told.append(said.err)
    assert await role.stop() == 0
    told.append(role.log_file.read_text(errors="replace"))
    found = [text[max(0, text.index(PLANT) - 200) :][:300] for text in told if PLANT in text]
    assert not found
