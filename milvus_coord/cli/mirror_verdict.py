"""Judge the mirrors of one role's members by what etcd holds at the very same revision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from typing import Any, Final

from milvus_coord.cli.mirror_members import Member, NotAsked, ask_digest, ask_dump
from milvus_coord.etcd.errors import Compacted, InvalidRequest
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.ha.mirror.dump import Digest, Dump, from_etcd
from milvus_coord.ha.mirror.image import Mirrored

_ASKED_MAX: Final = 5
_LINES_MAX: Final = 10


class Finding(Enum):
    """What came of asking one member."""

    EQUAL = "equal"
    DIFFERENT = "different"
    NOT_ASKED = "not asked"
    OTHER_VERSION = "other version"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One member's mirror.

    `why` says what is wrong, in a sentence. The first lines that only one side has are in
    `in_memory` and `in_etcd`; `digest` is what the member said, None when it said nothing.
    """

    member: Member
    finding: Finding
    digest: Digest | None = None
    why: str = ""
    in_memory: tuple[str, ...] = ()
    in_etcd: tuple[str, ...] = ()


class Judge:
    """Reads etcd once for each revision at which it is asked."""

    def __init__(self, etcd: Etcd, mirrored: Mirrored[Any], token: str = "") -> None:
        self._etcd, self._mirrored, self._token = etcd, mirrored, token
        self._read: dict[int, Dump] = {}

    async def judge(self, member: Member) -> Verdict:
        """Compare one member; ask again when etcd has lost the history meanwhile.

        Raises etcd's errors.
        """
        for _ in range(_ASKED_MAX):
            try:
                return await self._compare(member)
            except Compacted:
                continue
            except NotAsked as error:
                return Verdict(member, Finding.NOT_ASKED, why=str(error))
        why = f"etcd has lost the revision at which it was asked, {_ASKED_MAX} times"
        return Verdict(member, Finding.NOT_ASKED, why=why)

    async def _compare(self, member: Member) -> Verdict:
        said = await ask_digest(member)
        if said.format != self._mirrored.format:
            why = (
                f"it is of another version: its digest is of {said.format or 'an older form'}, "
                f"ours of {self._mirrored.format}; check it by its own version"
            )
            return Verdict(member, Finding.OTHER_VERSION, said, why)
        try:
            true = await self._at(said.revision)
        except InvalidRequest as error:
            why = f"it is at revision {said.revision}, where etcd has never been ({error})"
            return Verdict(member, Finding.DIFFERENT, said, why)
        if (said.digest, said.keys, said.wrong) == (true.digest.digest, true.digest.keys, ()):
            return Verdict(member, Finding.EQUAL, said)
        try:
            dump = await ask_dump(member, self._token)
        except NotAsked as error:
            why = (
                f"at revision {said.revision} it is different; its lines are not to be had: {error}"
            )
            return Verdict(member, Finding.DIFFERENT, said, why)
        true = await self._at(dump.digest.revision)
        in_memory, in_etcd = _only(dump.lines, true.lines), _only(true.lines, dump.lines)
        why = _words(said, dump.digest, true.digest)
        return Verdict(member, Finding.DIFFERENT, said, why, in_memory, in_etcd)

    async def _at(self, revision: int) -> Dump:
        if revision not in self._read:
            self._read[revision] = await from_etcd(self._etcd, self._mirrored, revision)
        return self._read[revision]


def among_each_other(verdicts: Sequence[Verdict]) -> str:
    """In one sentence, whether the members hold the same, as far as that can be said."""
    said = [verdict.digest for verdict in verdicts if verdict.digest is not None]
    if len(said) < 2:
        return ""
    if len({digest.format for digest in said}) > 1:
        return "the members are of several versions, and not compared with each other"
    if len({digest.digest for digest in said}) == 1:
        return f"all {len(said)} members hold the same"
    for same in (_revision, _changed):
        if len({same(digest) for digest in said}) == 1:
            return f"the members differ from each other at revision {same(said[0])}"
    revisions = ", ".join(str(digest.revision) for digest in said)
    return f"the members were asked at revisions {revisions}, and not compared with each other"


def _revision(digest: Digest) -> int:
    return digest.revision


def _changed(digest: Digest) -> int:
    return digest.changed


def _only(these: bytes, those: bytes) -> tuple[str, ...]:
    """The first lines that only the first has."""
    known = set(those.splitlines())
    lines = (line for line in these.splitlines() if line not in known)
    return tuple(line.decode(errors="replace") for line in islice(lines, _LINES_MAX))


def _words(said: Digest, dumped: Digest, true: Digest) -> str:
    at = f"at revision {dumped.revision}"
    if dumped.digest != true.digest:
        return f"{at} it holds what etcd does not, or lacks what etcd holds"
    if dumped.keys != true.keys:
        return f"{at} it is made of {dumped.keys} keys, etcd has {true.keys}"
    if said.wrong:
        return f"at revision {said.revision} it contradicts itself: {'; '.join(said.wrong)}"
    return f"at revision {said.revision} it was different, {at} it is no more"
