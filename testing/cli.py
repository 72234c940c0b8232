"""The `milvus` command as a person types it, in a process of its own."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from milvus_coord.runtime.parent_death import killed_with_parent

_ROOT: Final = Path(__file__).parents[1]
_WITHIN_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Said:
    """What one command came to."""

    code: int
    out: str
    err: str


async def start_milvus(
    *words: str,
    etcd: Sequence[str],
    env: Mapping[str, str] | None = None,
    module: str = "milvus_coord",
) -> asyncio.subprocess.Process:
    """Start `milvus WORDS`, the main of `module`; its output is piped, it dies with the tests."""
    return await asyncio.create_subprocess_exec(
        *killed_with_parent(),
        sys.executable,
        "-m",
        module,
        *words,
        env={
            "PATH": os.environ.get("PATH", ""),
            "PYTHONPATH": str(_ROOT),
            "ETCD_ENDPOINTS": ",".join(etcd),
            **(env or {}),
        },
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def milvus(
    *words: str,
    etcd: Sequence[str],
    env: Mapping[str, str] | None = None,
    module: str = "milvus_coord",
) -> Said:
    """Run `milvus WORDS` to its end."""
    process = await start_milvus(*words, etcd=etcd, env=env, module=module)
    try:
        async with asyncio.timeout(_WITHIN_S):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return Said(process.returncode, out.decode(), err.decode())
