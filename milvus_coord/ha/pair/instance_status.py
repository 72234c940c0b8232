"""What an instance of ours says about itself in etcd, each second."""

from __future__ import annotations

from dataclasses import dataclass

from milvus_coord.ha.pair import json_record
from milvus_coord.model.states import Phase


@dataclass(frozen=True, slots=True)
class InstanceStatus:
    """The value of a status key.

    Attributes:
        phase: where it stands.
        ready: whether it would take the active key over at once if it were given to it.
        why: why it is not ready, or what it cannot do as the leader; empty when all is well.
        address: what clients dial, "host:port".
        management: where its management port answers, "host:port", or "".
        version: of milvus-coord.
        epoch: of the term that it leads, else 0.
        lease_age_ms: since its session lease was last renewed.
        serve_age_ms: since its serve lease was last proven; None when it does not lead.
        revision: everything that etcd did to the role's metadata up to here is in its mirror.
        behind: revisions of etcd that its mirror has not seen yet; None when that is unknown.
        etcd_ms: the longest of its last writes to etcd.
        loop_lag_ms: the longest stall of its main loop of late.
    """

    server_id: int
    phase: Phase
    ready: bool
    why: tuple[str, ...]
    address: str
    management: str
    version: str
    epoch: int
    lease_age_ms: int
    serve_age_ms: int | None
    revision: int
    behind: int | None
    etcd_ms: int
    loop_lag_ms: int

    def encode(self) -> bytes:
        return json_record.encode(self)

    @classmethod
    def decode(cls, key: bytes, value: bytes) -> InstanceStatus:
        """Raises BadValue that names key and value."""
        fields = json_record.fields_of(key, value)
        try:
            return cls(
                server_id=json_record.whole(fields["server_id"]),
                phase=Phase(fields["phase"]),
                ready=fields["ready"] is True,
                why=tuple(json_record.text(reason) for reason in fields["why"]),
                address=json_record.text(fields["address"]),
                management=json_record.text(fields["management"]),
                version=json_record.text(fields["version"]),
                epoch=json_record.whole(fields["epoch"]),
                lease_age_ms=json_record.whole(fields["lease_age_ms"]),
                serve_age_ms=json_record.maybe_whole(fields["serve_age_ms"]),
                revision=json_record.whole(fields["revision"]),
                behind=json_record.maybe_whole(fields["behind"]),
                etcd_ms=json_record.whole(fields["etcd_ms"]),
                loop_lag_ms=json_record.whole(fields["loop_lag_ms"]),
            )
        except json_record.MALFORMED as error:
            raise json_record.unreadable(key, value, repr(error)) from error
