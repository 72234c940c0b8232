"""How a call to another process of the cluster fails."""

from __future__ import annotations

from milvus_coord.model.errors import CoordError


class CallError(CoordError):
    """A call to another process failed for good; the text says which and why.

    `unseen`: the request certainly reached no handler, so it may be repeated without harm.
    `refused`: it reached one, which answered no.
    """

    refused = False

    def __init__(self, text: str, *, unseen: bool = False) -> None:
        super().__init__(text)
        self.unseen = unseen


class CallRefused(CallError):
    """The other process has answered, and its answer is no; `status_code` is an ErrorCode."""

    refused = True

    def __init__(self, text: str, status_code: int) -> None:
        super().__init__(text)
        self.status_code = status_code


class NodeGone(CallError):
    """The node's session has ended, before the call or during it."""
