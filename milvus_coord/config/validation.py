"""From the sources' texts to settings: what is refused, and what Go 2.2.16 starts with is mended.

Each mended text is one warning, and what holds instead is what Go goes on with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from milvus_coord.config.errors import Problem
from milvus_coord.config.fallback import Fallback
from milvus_coord.config.origin import DEFAULT, Entry, Origin
from milvus_coord.config.section import Leaf, leaves
from milvus_coord.config.settings import Settings
from milvus_coord.config.sources import TextSource

_WRITING: Final = "quotaAndLimits.limitWriting"
_LEVELS: Final = (
    (f"{_WRITING}.memProtection", "dataNodeMemoryLowWaterLevel", "dataNodeMemoryHighWaterLevel"),
    (f"{_WRITING}.memProtection", "queryNodeMemoryLowWaterLevel", "queryNodeMemoryHighWaterLevel"),
    (f"{_WRITING}.growingSegmentsSizeProtection", "lowWaterLevel", "highWaterLevel"),
)


@dataclass(frozen=True, slots=True)
class Validated:
    """The settings, what is wrong with single keys, and what was mended."""

    settings: Settings
    problems: tuple[Problem, ...]
    warnings: tuple[str, ...]


def validated(sources: Sequence[TextSource], origins: dict[str, Origin]) -> Validated:
    """Read the sources. Keys that are wrong count as not set, to check the rest.

    Mended keys are changed in `sources` and in `origins`.
    """
    wrong = _Wrong(sources, origins)
    settings = wrong.mend()
    settings, warnings = _levels(settings, sources, origins)
    warnings = [*wrong.warnings, *warnings]
    settings, more = _serve_lease(settings, origins)
    return Validated(settings, tuple(wrong.problems), (*warnings, *more))


class _Wrong:
    """Sorts illegal texts into those that are mended and those that are refused."""

    def __init__(self, sources: Sequence[TextSource], origins: dict[str, Origin]) -> None:
        self._sources, self._origins = sources, origins
        self._leaves = {leaf.key: leaf for leaf in leaves(Settings)}
        self.problems: list[Problem] = []
        self.warnings: list[str] = []

    def mend(self) -> Settings:
        """The settings after all; fills `problems` and `warnings`."""
        for key, must in self._musts().items():
            leaf, text = self._leaves[key], self._source(key).found[key].text
            fallback = next((each for each in leaf.fallbacks if each.texts(text)), None)
            if fallback is not None:
                self._fall_back(leaf, must, fallback)
        refused = {key: self._problem(key, must) for key, must in self._musts().items()}
        origins = {key: self._origins[key] for key in refused}
        for key in refused:
            self._forget(key)
        settings = Settings.read(self._sources)
        for key, problem in refused.items():
            switch = self._leaves[key].switch
            if switch and not self._leaves[switch].of(settings):
                self.warnings.append(f"{problem}; not read, as in Go: {switch} is off")
            else:
                self._origins[key] = origins[key]
                self.problems.append(problem)
        return settings

    def _musts(self) -> dict[str, str]:
        """What the text of each wrong key must be."""
        try:
            Settings.read(self._sources)
        except ValidationError as err:
            return {
                ".".join(map(str, error["loc"])): str(error["ctx"]["error"])
                for error in err.errors(include_url=False, include_input=False)
            }
        return {}

    def _source(self, key: str) -> TextSource:
        return next(source for source in self._sources if key in source.found)

    def _fall_back(self, leaf: Leaf, must: str, fallback: Fallback) -> None:
        problem = self._problem(leaf.key, must)
        if fallback.instead is None:
            self._forget(leaf.key)
            unset = "the key counts as not set"
            held = unset if leaf.default is None else leaf.kind.show(leaf.default)
        else:
            found = self._source(leaf.key).found
            held = fallback.instead(found[leaf.key].text)
            found[leaf.key] = Entry(held, found[leaf.key].origin)
            held = leaf.kind.quote(held)
        self.warnings.append(f"{problem}; Go's way is taken: {held}")

    def _problem(self, key: str, must: str) -> Problem:
        text = self._source(key).found[key].text
        hint = " (it is set but empty: unset it or give a value)" if not text else ""
        shown = self._leaves[key].kind.quote(text)
        return Problem(str(self._origins[key]), f"must be {must}{hint}", key, shown)

    def _forget(self, key: str) -> None:
        for source in self._sources:
            source.forget((key,))
        self._origins[key] = DEFAULT


def _levels(
    settings: Settings, sources: Sequence[TextSource], origins: dict[str, Origin]
) -> tuple[Settings, list[str]]:
    """Put both levels back to their defaults where the low one is above the high one, as Go does.

    Go looks at a node's memory only where it is protected.
    """
    by_key = {leaf.key: leaf for leaf in leaves(Settings)}
    warnings = []
    for section, *names in _LEVELS:
        low, high = (by_key[f"{section}.{name}"] for name in names)
        if not _above(low.of(settings), high.of(settings)):
            continue
        shown = " and ".join(
            f"{each.key} = {each.kind.show(each.of(settings))} ({origins[each.key]})"
            for each in (low, high)
        )
        defaults = " and ".join(each.kind.show(each.default) for each in (low, high))
        warnings.append(f"{shown}: the low one is above; Go's way is taken: {defaults}")
        for each in (low, high):
            origins[each.key] = DEFAULT
            for source in sources:
                source.forget((each.key,))
    return (Settings.read(sources) if warnings else settings), warnings


def _above(low: object, high: object) -> bool:
    return isinstance(low, float) and isinstance(high, float) and low > high


def _serve_lease(settings: Settings, origins: Mapping[str, Origin]) -> tuple[Settings, list[str]]:
    """Shorten our own default where the session's lease is too short for it.

    Go knows no serve lease, so nobody who sets a short `common.session.ttl` for it sets this.
    """
    ttl_ms, lease_ms = settings.common.session.ttl * 1000, settings.ha.serve_lease_ms
    if origins["ha.serveLease"] != DEFAULT or lease_ms * 2 < ttl_ms:
        return settings, []
    shorter_ms = ttl_ms // 3
    ha = settings.ha.model_copy(update={"serve_lease_ms": shorter_ms})
    warning = (
        f"ha.serveLease is {shorter_ms} ms: its default, {lease_ms} ms, is not below half of "
        f"common.session.ttl = {settings.common.session.ttl} s ({origins['common.session.ttl']})"
    )
    return settings.model_copy(update={"ha": ha}), [warning]
