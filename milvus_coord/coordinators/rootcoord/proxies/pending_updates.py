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


Errand: TypeAlias = PolicyChange | ForgetCredential

READ_ALL_POLICIES: Final = PolicyChange(7, "")


class Errands:
    """A queue whose head stays until it is done.

    After a failure nobody knows which policies the proxy has, and one that it refuses would be
    refused for ever: it is told to read all of them instead.
    """

    def __init__(self) -> None:
        self._waiting: deque[Errand] = deque()
        self._added = Signal()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, errand: Errand) -> None:
        """Put it at the end."""
        self._waiting.append(errand)
        self._added.notify()

    async def head(self) -> Errand:
        """The errand to do now, waiting for one."""
        while not self._waiting:
            await self._added.wait()
        return self._waiting[0]

    def done(self) -> None:
        """The head has been done."""
        self._waiting.popleft()

    def failed(self) -> None:
        """The head has not been done; what comes next makes up for it."""
        if isinstance(self._waiting[0], PolicyChange):
            others = (each for each in self._waiting if not isinstance(each, PolicyChange))
            self._waiting = deque((READ_ALL_POLICIES, *others))
