"""`milvus run ROLE`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

import uvloop

from milvus_coord.app import process as app
from milvus_coord.config import ConfigError, load
from milvus_coord.etcd.embedded.embedded import EtcdBinaryMissing, EtcdNotStarted
from milvus_coord.etcd.errors import AuthFailed, CertificateError, PermissionDenied
from milvus_coord.mq.queue import QueueUnusable
from milvus_coord.rpc.port import PortTaken
from milvus_coord.rpc.tls import TlsFileError
from milvus_coord.runtime.retry import GaveUp
from milvus_coord.runtime.surroundings import settle_daemon
from milvus_coord.runtime.taskgroup import leaves
from milvus_coord.telemetry.log import log

_GAVE_UP: Final = 1
_MISTAKE: Final = 2


def run(role: str, *, config: Path | None, alias: str, etcd_timeout_s: float | None) -> int:
    """Run `role` until it is stopped; the exit code is 0, 1 after giving up, 2 for a mistake."""
    code = 0
    settle_daemon()
    try:
        loaded = load(role, config=config, environ=os.environ)
        start = app.Start(role, config, os.environ, etcd_timeout_s)
        with log.context(**({"alias": alias} if alias else {})):
            uvloop.run(app.run(start, loaded))
    except* GaveUp as gave_up:
        code = _tell(gave_up, _GAVE_UP)
    except* (
        AuthFailed,
        CertificateError,
        ConfigError,
        EtcdBinaryMissing,
        EtcdNotStarted,
        OSError,
        PermissionDenied,
        PortTaken,
        QueueUnusable,
        TlsFileError,
    ) as mistakes:
        code = _tell(mistakes, _MISTAKE)
    return code


def _tell(group: BaseExceptionGroup[BaseException], code: int) -> int:
    """Say on standard error what a person must know."""
    for error in leaves(group):
        text = f"{error}: {error.__cause__}" if isinstance(error, GaveUp) else str(error)
        print(f"milvus: {text}", file=sys.stderr)
    return code
