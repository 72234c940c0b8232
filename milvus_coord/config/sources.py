"""The settings sources, file, environment and etcd overlay, looked up by squashed key names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from milvus_coord.config.errors import Problem
from milvus_coord.config.names import spelled_twice, squash, unknown
from milvus_coord.config.origin import Entry, Origin
from milvus_coord.config.section import Leaf, SourceName, leaves, open_sections
from milvus_coord.config.settings import METRICS_PORT
from milvus_coord.config.yaml_file import YamlFile
from milvus_coord.model.redaction import without_logins

_SEPARATORS = re.compile("[/_.]+")
_OF_A_SERVICE = re.compile(r"_(SERVICE_HOST|SERVICE_PORT|PORT)(_.*)?$")
_SERVICE_LINK = re.compile(r"(?:tcp|udp|sctp)://")


class TextSource(PydanticBaseSettingsSource):
    """What one source says: `found` maps Milvus' key to the text. Feeds pydantic by aliases.

    `tables` holds the keys of open sections, by the section's key and the name in it.
    """

    def __init__(
        self, settings_cls: type[BaseSettings], entries: Iterable[tuple[str, Entry]]
    ) -> None:
        super().__init__(settings_cls)
        self.found: dict[str, Entry] = {}
        self.tables: dict[str, dict[str, Entry]] = {}
        self.warnings: list[str] = []
        self.notes: list[tuple[str, str]] = []
        self._leaves = {squash(leaf.key): leaf for leaf in leaves(settings_cls)}
        self._open = open_sections(settings_cls)
        for name, entry in entries:
            leaf = self._leaves.get(squash(name))
            if leaf is None:
                self._take_open(name, entry)
            elif self._wanted(leaf, entry):
                self._take(leaf, entry)

    def _wanted(self, leaf: Leaf, entry: Entry) -> bool:
        """Whether the key is read from this source at all; if not, says so once."""
        if leaf.only is None or entry.origin.source in leaf.only.sources:
            return True
        line = f"{leaf.key} is ignored in {entry.origin}: {leaf.only.because}"
        if leaf.only.quiet:
            self.notes.append((leaf.key, line))
        else:
            self.warnings.append(line)
        return False

    def _take(self, leaf: Leaf, entry: Entry) -> None:
        self.found[leaf.key] = entry

    def _take_open(self, name: str, entry: Entry) -> None:
        parts = _SEPARATORS.split(name.lower().removeprefix("milvus."))
        for section in self._open:
            depth = len(section.aliases)
            if parts[:depth] == [alias.lower() for alias in section.aliases] and parts[depth:]:
                inner = section.table.name(".".join(parts[depth:]))
                self.tables.setdefault(section.key, {})[inner] = entry

    def forget(self, keys: Iterable[str]) -> None:
        """Behave as if `keys` were not there."""
        for key in keys:
            self.found.pop(key, None)

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        alias = field.alias or field_name
        return self().get(alias), alias, False

    def __call__(self) -> dict[str, Any]:
        tree: dict[str, Any] = {}
        for leaf in self._leaves.values():
            entry = self.found.get(leaf.key)
            if entry is not None:
                branch = tree
                for alias in leaf.aliases[:-1]:
                    branch = branch.setdefault(alias, {})
                branch[leaf.aliases[-1]] = entry.text
        for section in self._open:
            if section.key in self.tables:
                branch = tree
                for alias in section.aliases[:-1]:
                    branch = branch.setdefault(alias, {})
                texts = {name: entry.text for name, entry in self.tables[section.key].items()}
                branch[section.aliases[-1]] = texts
        return tree


class FileSource(TextSource):
    """milvus.yaml. `misplaced`: sections where one value belongs, values where a section does."""

    def __init__(self, settings_cls: type[BaseSettings], file: YamlFile) -> None:
        super().__init__(settings_cls, file.values)
        self.misplaced: list[Problem] = []
        prefixes = {squash(section.key): section.key for section in self._open}
        for leaf in self._leaves.values():
            parts = leaf.key.split(".")
            for i in range(1, len(parts)):
                prefix = ".".join(parts[:i])
                prefixes[squash(prefix)] = prefix
        for name, entry in file.values:
            section = prefixes.get(squash(name))
            if section is not None:
                must = "must be a section of keys, not one value"
                self.misplaced.append(Problem(str(entry.origin), must, section))
        self.warnings += file.repeated
        self.warnings += spelled_twice(file.values)
        self.warnings += unknown(file.values)
        for name, origin in file.sections:
            if (value := self._leaves.get(squash(name))) is not None:
                must = f"must be {value.kind.allowed}, not a section"
                self.misplaced.append(Problem(str(origin), must, value.key))


class EnvironmentSource(TextSource):
    """The environment, with the two traps of containers defused.

    ROOTCOORD_PORT=tcp://…, which Kubernetes and container links inject for a service of that name,
    crashes Go; here it is left out with a warning. Of two variables for one key the later one wins,
    as in Go, with a warning. An empty METRICS_PORT counts as not set, as in Go; any other empty
    variable is a value like others.
    """

    def __init__(self, settings_cls: type[BaseSettings], environ: Mapping[str, str]) -> None:
        super().__init__(settings_cls, _entries("environment", "", environ))

    def _take(self, leaf: Leaf, entry: Entry) -> None:
        name = entry.origin.name
        if leaf.key == METRICS_PORT and not entry.text:
            return
        if leaf.key.lower().endswith("port") and _SERVICE_LINK.match(entry.text):
            self.warnings.append(
                f"{entry.origin} is ignored for {leaf.key}: {without_logins(entry.text)} is the "
                f"address of a service, injected by the container platform"
            )
            return
        earlier = self.found.get(leaf.key)
        if earlier is not None and earlier.text != entry.text:
            self.warnings.append(
                f"environment variables {earlier.origin.name} and {name} both set {leaf.key} "
                f"and differ; {name} is used"
            )
        self.found[leaf.key] = entry

    def _take_open(self, name: str, entry: Entry) -> None:
        # A service called kafka-producer brings KAFKA_PRODUCER_PORT=tcp://... and its like.
        if not _OF_A_SERVICE.search(name):
            super()._take_open(name, entry)


class OverlaySource(TextSource):
    """Texts under `<meta root>/config/` in etcd, by what follows that prefix, with `/` or `.`."""

    def __init__(
        self, settings_cls: type[BaseSettings], overlay: Mapping[str, str], prefix: str
    ) -> None:
        super().__init__(settings_cls, _entries("etcd", prefix, overlay))


def _entries(
    source: SourceName, prefix: str, texts: Mapping[str, str]
) -> Iterable[tuple[str, Entry]]:
    for name, text in texts.items():
        yield name, Entry(text, Origin(source, prefix + name))
