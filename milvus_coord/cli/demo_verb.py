"""A verb that the demo runs as a person would."""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from milvus_coord.cli.demo_instance import DemoFailed


async def typed(*words: str, etcd: str, folder: Path, env: Mapping[str, str]) -> str:
    """The command line and what it prints. Raises DemoFailed when it fails."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "milvus_coord", *words, "--endpoints", etcd),
        cwd=folder,
        env=env,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    text = f"$ milvus {shlex.join(words)}\n{output.decode(errors='replace')}"
    if process.returncode:
        raise DemoFailed(f"exit code {process.returncode} of\n{text}")
    return text
