"""What one proxy is still to be told about users and privileges, in order."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final, TypeAlias

from milvus_coord.runtime.signal import Signal


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """`RefreshPolicyInfoCache`: `op_type` 1-6 changes what `op_key` names, 7 reads all anew."""

    op_type: int
    op_key: str


@dataclass(frozen=True, slots=True)
class ForgetCredential:
    """`InvalidateCredentialCache`."""

    username: str


PendingUpdate: TypeAlias = PolicyChange | ForgetCredential

READ_ALL_POLICIES: Final = PolicyChange(7, "")


class PendingUpdates:
    """A queue whose head stays until the proxy has confirmed it.

    A proxy that joins reads all policies first, so it misses no change that was made meanwhile.
    After a failure nobody knows which policies the proxy has, and one that it refuses would be
    refused for ever: it is told to read all of them instead.
    """

    def __init__(self) -> None:
        self._waiting: deque[PendingUpdate] = deque((READ_ALL_POLICIES,))
        self._added = Signal()

    def enqueue(self, update: PendingUpdate) -> None:
        """Put it at the end."""
        self._waiting.append(update)
        self._added.notify()

    async def head(self) -> PendingUpdate:
        """The update to send now, waiting for one."""
        while not self._waiting:
            await self._added.wait()
        return self._waiting[0]

    def confirmed(self) -> None:
        """The proxy has taken the head."""
        self._waiting.popleft()

    def failed(self) -> None:
        """The proxy has not taken the head; what comes next makes up for it."""
        if isinstance(self._waiting[0], PolicyChange):
            others = (each for each in self._waiting if not isinstance(each, PolicyChange))
            self._waiting = deque((READ_ALL_POLICIES, *others))
