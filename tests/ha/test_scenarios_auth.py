"""S32: a pair on an etcd with TLS and users, whose tokens and certificates run out.

It does not use the rig, whose own clients know neither.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from testing.certificates import Issued, TestAuthority
from testing.etcd import EtcdCluster, EtcdOptions, EtcdTlsFiles
from testing.hammer import Hammer
from tests.conftest import StartEtcd
from tests.ha.conftest import StartRole, started_pair
from tests.ha.test_etcd_trouble import epoch_of, last_try, still_the_same
from tests.ha.test_takeover import answers, taken_over
from tests.rig.extras import PATIENT

_TOKEN_TTL_S: Final = 1
_TOKENS: Final = 3
_USER: Final = ("root", "rootpw")


def environment(authority: TestAuthority, mine: Issued) -> Mapping[str, str]:
    return {
        "ETCD_AUTH_ENABLED": "true",
        "ETCD_AUTH_USERNAME": _USER[0],
        "ETCD_AUTH_PASSWORD": _USER[1],
        "ETCD_SSL_ENABLED": "true",
        "ETCD_SSL_TLSCERT": str(mine.cert_file),
        "ETCD_SSL_TLSKEY": str(mine.key_file),
        "ETCD_SSL_TLSCACERT": str(authority.ca_file),
        "ETCD_SSL_TLSMINVERSION": "1.2",
        "HA_SERVE_LEASE": "1000",
        **PATIENT,
    }


async def guarded(start_etcd: StartEtcd, authority: TestAuthority) -> EtcdCluster:
    """Three members; tokens that are not used for a second are forgotten."""
    server, admin = authority.issue("server"), authority.issue("admin")
    options = EtcdOptions(
        extra_args=(f"--auth-token-ttl={_TOKEN_TTL_S}", "--bcrypt-cost=4"),
        tls=EtcdTlsFiles(server.cert_file, server.key_file, authority.ca_file),
    )
    etcd = await start_etcd(3, options)
    as_admin = (
        f"--cacert={authority.ca_file}",
        f"--cert={admin.cert_file}",
        f"--key={admin.key_file}",
    )
    for command in ("user add root:rootpw", "user grant-role root root", "auth enable"):
        await etcd.ctl(*as_admin, *command.split())
    return etcd


@pytest.mark.timeout(150)
async def test_tokens_expire_and_certificates_are_renewed(
    start_etcd: StartEtcd, rootcoord: StartRole, tmp_path: Path
) -> None:
    authority = TestAuthority(tmp_path / "tls")
    etcd = await guarded(start_etcd, authority)
    mine = authority.issue("ours")
    active, standby = await started_pair(
        rootcoord, etcd.endpoints, session_ttl_s=60, env=environment(authority, mine)
    )
    epoch = await epoch_of(active)
    async with Hammer([active.address, standby.address], folder=tmp_path) as hammer:
        await answers(hammer, active)
        await asyncio.sleep(_TOKENS * 2 * _TOKEN_TTL_S)  # what runs out is time itself
        await still_the_same(hammer, active, epoch, since_s=last_try(hammer))
        renew(authority, mine)
        for member in etcd.members:
            await member.restart()
        await still_the_same(hammer, active, epoch, since_s=last_try(hammer))
        await standby.wait_standby()
        active.kill()
        await taken_over(hammer, active, standby)
        gap = hammer.sightings().longest_gap()
    assert gap.length_s < 30, "it waited for the lease"


def renew(authority: TestAuthority, files: Issued) -> None:
    """Put other certificates of the same authority into the same files, the server's too."""
    fresh = authority.issue("fresh")
    for old in (
        files,
        Issued(files.cert_file.with_name("server.pem"), files.key_file.with_name("server.key")),
    ):
        shutil.copy(fresh.cert_file, old.cert_file)
        shutil.copy(fresh.key_file, old.key_file)
