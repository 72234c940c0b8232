"""The etcd keys of sessions and of one role's failover."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_DIGITS_MAX: Final = 19


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys below `meta_root` (`etcd.rootPath/etcd.metaSubPath`, no slash at its end)."""

    meta_root: str
    role: str

    @property
    def server_id(self) -> bytes:
        """The next server id, as decimal text; all components of a cluster share it."""
        return f"{self.meta_root}/session/id".encode()

    @property
    def active(self) -> bytes:
        """The active key: the session of the active; what Go clients look up."""
        return f"{self.meta_root}/session/{self.role}".encode()

    @property
    def instances(self) -> bytes:
        """Prefix of the sessions of all processes of the role."""
        return self.active + b"-"

    def instance(self, server_id: int) -> bytes:
        """The session of one process, standby or active."""
        return b"%s%d" % (self.instances, server_id)

    def is_session(self, key: bytes) -> bool:
        """Whether `key` is the active key or an instance key, and not only alike in prefix."""
        return key == self.active or number_after(self.instances, key) is not None

    @property
    def ha(self) -> bytes:
        """Prefix of all that the instances of ours tell each other; Go has nothing there."""
        return f"{self.meta_root}/ha/{self.role}/".encode()

    @property
    def leadership(self) -> bytes:
        """What the last leader of ours says about its term; outlives the term."""
        return self.ha + b"leadership"

    @property
    def statuses(self) -> bytes:
        """Prefix of what the instances of ours say about themselves each second."""
        return self.ha + b"instance-"

    def status(self, server_id: int) -> bytes:
        """What one instance of ours says about itself; on its session lease."""
        return b"%s%d" % (self.statuses, server_id)

    @property
    def challenges(self) -> bytes:
        """Prefix of the nonces that standbys want the active to repeat."""
        return self.ha + b"challenge-"

    def challenge(self, server_id: int) -> bytes:
        """The nonce of one standby; on its session lease."""
        return b"%s%d" % (self.challenges, server_id)

    @property
    def answers(self) -> bytes:
        """Prefix of the answers to challenges."""
        return self.ha + b"answer-"

    def answer(self, server_id: int) -> bytes:
        """The active's answer to the challenge of `server_id`; on the active's session lease."""
        return b"%s%d" % (self.answers, server_id)

    @property
    def history(self) -> bytes:
        """Prefix of the takeovers, oldest first."""
        return self.ha + b"history/"

    def takeover(self, epoch: int) -> bytes:
        """The takeover that began the term of `epoch`."""
        return b"%s%020d" % (self.history, epoch)

    @property
    def paused(self) -> bytes:
        """There while early replacement and switchover are paused."""
        return self.ha + b"paused"

    @property
    def switchover(self) -> bytes:
        """An operator's request that the active hand over; on a lease of the asker."""
        return self.ha + b"switchover"


def number_after(prefix: bytes, key: bytes) -> int | None:
    """The server id that `key` has after `prefix`; None when it is not made in this way."""
    if not key.startswith(prefix):
        return None
    digits = key[len(prefix) :]
    if not digits.isdigit() or len(digits) > _DIGITS_MAX:
        return None
    number = int(digits)
    return number if digits == b"%d" % number else None
