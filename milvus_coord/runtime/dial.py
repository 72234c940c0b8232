"""Whether somebody accepts connections at an address."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from milvus_coord.runtime.addresses import resolve


async def dial(host: str, port: int, *, within_s: float) -> None:
    """Connect to the first address of `host` that accepts, and hang up.

    A resolver that hangs holds up nobody else. Raises TimeoutError after `within_s` seconds, and
    OSError, that of the last address.
    """
    trouble = OSError("it has no address")
    async with asyncio.timeout(within_s):
        for address in await resolve(host):
            try:
                _, writer = await asyncio.open_connection(address, port)
            except OSError as error:
                trouble = error
                continue
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
            return
    raise trouble
