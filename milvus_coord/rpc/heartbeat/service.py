"""The health service of an active coordinator: beats for its standbys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final

from grpclib.const import Cardinality, Handler

from milvus_coord.pb.coord.health import Beat as BeatMessage
from milvus_coord.pb.coord.health import FollowRequest
from milvus_coord.rpc.heartbeat.message import Beat
from milvus_coord.runtime.clock import Clock
from milvus_coord.telemetry.log import log

_FOLLOW: Final = "/coord.health.Health/Follow"
_EVERY_S_MIN: Final = 0.01


class BeatService:
    """Sends each follower a beat at once, and then one every `every_s`, until it goes away.

    A follower may ask for a rhythm of its own. Beats come from the
    main loop, so that they stop with it. Followers are few, and each has a call of its own.

    Args:
        clock: keeps the rhythm.
        every_s: pause between two beats of a follower.
        now: asked for each beat; what it raises ends the stream, NotServing as UNAVAILABLE.
    """

    #: Of use without the right to serve: a server must not ask for it before these methods.
    PATHS: ClassVar[frozenset[str]] = frozenset({_FOLLOW})

    def __init__(self, clock: Clock, every_s: float, now: Callable[[], Beat]) -> None:
        self._clock, self._every_s, self._now = clock, every_s, now

    def __mapping__(self) -> dict[str, Handler]:
        return {
            _FOLLOW: Handler(self._follow, Cardinality.UNARY_STREAM, FollowRequest, BeatMessage)
        }

    async def _follow(self, stream: Any) -> None:
        request: FollowRequest = await stream.recv_message()
        every_s = self._every_s
        if request.every_ms:
            every_s = max(_EVERY_S_MIN, request.every_ms / 1000)
        log.debug("beats are followed", follower=request.server_id, peer=stream.peer_name)
        while True:
            await stream.send_message(_message(self._now()))
            await self._clock.sleep(every_s)


def _message(beat: Beat) -> BeatMessage:
    return BeatMessage(
        server_id=beat.server_id,
        epoch=beat.epoch,
        worst_lag_ms=beat.worst_lag_s * 1000,
        unproven_ms=beat.unproven_s * 1000,
    )
