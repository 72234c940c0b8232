"""Follow a prefix: a listing and then its changes, without end, over any `Etcd`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from typing import Never

from milvus_coord.etcd.errors import Compacted, EtcdError
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.etcd.values import Batch, Listing
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.retry import Retry
from milvus_coord.telemetry.log import log


async def follow_prefix(
    etcd: Etcd,
    clock: Clock,
    prefix: bytes,
    take: Callable[[Listing | Batch], None],
    *,
    what: str,
    on: tuple[type[EtcdError], ...] = (EtcdError,),
) -> Never:
    """Hand all keys below `prefix` and then each change of them to `take`, for ever.

    Errors of the classes `on` are waited out, others are raised; `what` names the keys in the log,
    such as "session keys". After an error, and when the history was lost to compaction or to a
    restore from an older state, `take` gets a Listing anew: what is not in it has gone.
    """
    retry = Retry(clock, f"follow the {what}", on=on, cap_s=1.0)

    async def follow() -> None:
        found = await etcd.range(prefix)
        retry.succeeded()
        take(Listing(found.kvs, found.revision))
        try:
            watch = etcd.watch(prefix, prefix=True, start_revision=found.revision + 1)
            async with aclosing(watch) as batches:
                async for batch in batches:
                    take(batch)
        except Compacted as error:
            log.warn("etcd history lost, reading again", what=what, error=str(error))

    while True:
        await retry.run(follow)
