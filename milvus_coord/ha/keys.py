"""The etcd keys of sessions and of one role's failover."""

from __future__ import annotations

from dataclasses import dataclass


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
        """K: the session of the active; what Go clients look up."""
        return f"{self.meta_root}/session/{self.role}".encode()

    def instance(self, server_id: int) -> bytes:
        """The session of one process, standby or active."""
        return b"%s-%d" % (self.active, server_id)

    @property
    def leadership(self) -> bytes:
        """What the last leader of ours says about its term; outlives the term."""
        return f"{self.meta_root}/ha/{self.role}/leadership".encode()

    @property
    def statuses(self) -> bytes:
        """Prefix of what the instances of ours say about themselves each second."""
        return f"{self.meta_root}/ha/{self.role}/instance-".encode()

    def status(self, server_id: int) -> bytes:
        """What one instance of ours says about itself."""
        return b"%s%d" % (self.statuses, server_id)

    def is_session(self, key: bytes) -> bool:
        """Whether `key` is K or an instance key of this role, and not only alike in prefix."""
        if not key.startswith(self.active):
            return False
        rest = key[len(self.active) :]
        return not rest or (rest[:1] == b"-" and rest[1:].isdigit())
