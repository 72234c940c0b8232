"""What can go wrong with etcd; every text names the call, the endpoints tried and the cause."""

from __future__ import annotations

from milvus_coord.model.errors import CoordError


class EtcdError(CoordError):
    """Base of all of them; raised itself for an answer that no class below stands for."""


class Unavailable(EtcdError):
    """No endpoint answered in time, or none had a leader; try again later.

    `sent` is False only when the request certainly changed nothing: it never left this process,
    or etcd said so. A transaction that failed with `sent` True may have been applied.
    """

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class LeaseNotFound(EtcdError):
    """The lease has expired, was revoked, or never was."""


class Compacted(EtcdError):
    """The history asked for is gone; `revision` is the oldest that is left, 0 when unknown.

    A watch also says so of an etcd that was restored from an older state.
    """

    def __init__(self, message: str, *, revision: int) -> None:
        super().__init__(message)
        self.revision = revision


class NoSpace(EtcdError):
    """The backend quota of etcd is used up: it refuses writes until somebody makes room.

    The very write that trips the alarm may have been applied: etcd 3.5 checks the quota a second
    time while it applies, and then answers with this error although it has gone on.
    """


class AuthFailed(EtcdError):
    """Etcd knows no such user or password, or wants a user and none is configured."""


class PermissionDenied(EtcdError):
    """The user may not do this to this key."""


class InvalidRequest(EtcdError):
    """Etcd refused the request as such, e.g. one key written twice in a transaction: a bug."""


class RequestTooLarge(InvalidRequest):
    """The request exceeds etcd's `--max-request-bytes`, 1.5 MiB by default."""


class TooManyOperations(InvalidRequest):
    """The transaction exceeds etcd's `--max-txn-ops`, 128 in each of its lists by default."""


class AnswerTooLarge(EtcdError):
    """The answer exceeds what we take in one message; ask for less at once."""


class CertificateError(EtcdError):
    """A certificate or key file is missing, unreadable, expired or not the partner of another."""


class ClientClosed(EtcdError):
    """The client is not connected yet, or was closed, maybe under a call that was being sent."""
