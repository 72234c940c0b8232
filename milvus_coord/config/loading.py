"""From file, environment and etcd overlay to checked settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

from milvus_coord.config.errors import ConfigError, Problem
from milvus_coord.config.etcd import join_path
from milvus_coord.config.names import squash
from milvus_coord.config.origin import DEFAULT, Origin
from milvus_coord.config.rules import Clash, clashes, unmet
from milvus_coord.config.section import leaves, open_sections
from milvus_coord.config.settings import Settings
from milvus_coord.config.sources import EnvironmentSource, FileSource, OverlaySource, TextSource
from milvus_coord.config.validation import validated
from milvus_coord.config.yaml_file import YamlFile, find, read
from milvus_coord.model.roles import SECTIONS

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Loaded:
    """Checked settings of one process.

    `origins` has one entry for every key, spelled as Milvus spells it, and for what is set in open
    sections (`kafka.producer.client.id`). `warnings` are lines worth logging at start: things set
    that have no effect. `notes` are the harmless ones of that sort, for `milvus config show`.
    """

    role: str
    settings: Settings
    origins: Mapping[str, Origin]
    file: Path | None
    warnings: tuple[str, ...]
    notes: tuple[str, ...]


def load(
    role: str,
    *,
    config: Path | None = None,
    environ: Mapping[str, str],
    cwd: Path | None = None,
    overlay: Mapping[str, str] = _NOTHING,
) -> Loaded:
    """Read and check the settings of `role` ("rootcoord").

    Priority: `overlay`, `environ`, file, built-in default. `config` is a file or a directory with
    milvus.yaml; without it the places of `yaml_file.find` are tried. `overlay` holds the texts
    below `<meta root>/config/` in etcd, by what follows that prefix. `cwd` stands for "." in paths.
    Raises ConfigError with all problems at once, KeyError for an unknown role.
    """
    if role not in SECTIONS:
        raise KeyError(role)
    here = cwd or _working_folder()
    path = find(config, _directory(environ), here)
    file = FileSource(Settings, read(path) if path else YamlFile())
    environment = EnvironmentSource(Settings, environ)
    prefix = f"{_meta_root(environment, file)}/config/"
    sources = (OverlaySource(Settings, overlay, prefix), environment, file)

    origins = _origins(sources)
    read_in = validated(sources, origins)
    problems = [*file.misplaced, *read_in.problems]
    wrong = {problem.key for problem in problems}
    settings = _prefer_older_names(read_in.settings, origins)
    problems += _problems(clashes(settings, origins, role, here), settings, origins, wrong)
    if problems:
        raise ConfigError(problems)
    return Loaded(
        role=role,
        settings=settings,
        origins=MappingProxyType(origins),
        file=path,
        warnings=(*(line for source in sources for line in source.warnings), *read_in.warnings),
        notes=tuple(_notes(sources, settings, origins, role)),
    )


def load_stored(
    role: str,
    *,
    config: Path | None = None,
    environ: Mapping[str, str],
    overlay: Mapping[str, str],
    check: Callable[[Loaded], None] = lambda _: None,
) -> Loaded:
    """As `load`, but what etcd holds and nobody can use is passed over, with a warning each.

    Whoever can write to etcd ends no process by it. Raises ConfigError, also that of `check`, for
    what would be wrong without etcd, too.
    """
    used, passed_over = dict(overlay), []
    while True:
        try:
            loaded = load(role, config=config, environ=environ, overlay=used)
            check(loaded)
        except ConfigError as error:
            if not used:
                raise
            wrong = [problem for problem in error.problems if problem.source.startswith("etcd ")]
            names = {
                name
                for name in used
                if any(problem.source.endswith(f"/config/{name}") for problem in wrong)
            }
            passed_over += [str(problem) for problem in (wrong if names else error.problems)]
            used = {name: text for name, text in used.items() if name not in names} if names else {}
        else:
            lines = (f"{text}; what is stored in etcd is passed over" for text in passed_over)
            return replace(loaded, warnings=(*loaded.warnings, *lines))


def check_start(loaded: Loaded) -> None:
    """Make sure that what the role cannot run without is there; call it once etcd was read.

    Raises ConfigError.
    """
    found = unmet(loaded.settings, loaded.role)
    if problems := _problems(found, loaded.settings, loaded.origins, set()):
        raise ConfigError(problems)


def _working_folder() -> Path:
    try:
        return Path.cwd()
    except OSError as error:
        must = f"start from one that exists: {error.strerror}"
        raise ConfigError([Problem("the working folder", must)]) from error


def _directory(environ: Mapping[str, str]) -> tuple[str, str] | None:
    """The variable that means MILVUSCONF, and its value; an empty one counts as not set."""
    named = [
        (name, text) for name, text in environ.items() if text and squash(name) == "milvusconf"
    ]
    return named[-1] if named else None


def _meta_root(*sources: TextSource) -> str:
    """Where the overlay comes from, found out before anything is checked: errors name its keys."""
    texts = []
    for key, default in (("etcd.rootPath", "by-dev"), ("etcd.metaSubPath", "meta")):
        entries = (source.found.get(key) for source in sources)
        texts.append(next((entry.text for entry in entries if entry), default))
    return join_path(*texts)


def _origins(sources: Sequence[TextSource]) -> dict[str, Origin]:
    """For every key the first source that has it."""
    origins = {}
    for leaf in leaves(Settings):
        entries = (source.found.get(leaf.key) for source in sources)
        origins[leaf.key] = next((entry.origin for entry in entries if entry), DEFAULT)
    for section in open_sections(Settings):
        for source in reversed(sources):
            for name, entry in source.tables.get(section.key, {}).items():
                origins[f"{section.key}.{name}"] = entry.origin
    return origins


def _prefer_older_names(settings: Settings, origins: dict[str, Origin]) -> Settings:
    """Let `msgChannel.chanNamePrefix.*` win over `common.*`, whatever source either is from."""
    older = settings.msg_channel.chan_name_prefix
    names = {name: value for name, value in older if value is not None}
    if not names:
        return settings
    for leaf in leaves(Settings):
        if leaf.fields[0] == "msg_channel" and leaf.fields[-1] in names:
            origins[leaf.key.replace("msgChannel", "common", 1)] = origins[leaf.key]
    prefix = settings.common.chan_name_prefix.model_copy(update=names)
    common = settings.common.model_copy(update={"chan_name_prefix": prefix})
    return settings.model_copy(update={"common": common})


def _problems(
    found: Iterable[Clash],
    settings: Settings,
    origins: Mapping[str, Origin],
    wrong: set[str | None],
) -> list[Problem]:
    """The broken rules, those left out whose keys are wrong by themselves."""
    by_key = {leaf.key: leaf for leaf in leaves(Settings)}

    def shown(key: str) -> str:
        return by_key[key].kind.show(by_key[key].of(settings))

    problems = []
    for clash in found:
        if wrong.isdisjoint({clash.key, *clash.others}):
            reasons = [f"{other} = {shown(other)} ({origins[other]})" for other in clash.others]
            must = "; ".join([clash.must, *reasons])
            problems.append(Problem(str(origins[clash.key]), must, clash.key, shown(clash.key)))
    return problems


def _notes(
    sources: Iterable[TextSource], settings: Settings, origins: Mapping[str, Origin], role: str
) -> Iterator[str]:
    """What is ignored on purpose, other roles' sections left out."""
    others = set(SECTIONS.values()) - {SECTIONS[role]}
    for source in sources:
        for key, line in source.notes:
            if key.partition(".")[0] not in others:
                yield line
    if settings.etcd.use_embed:
        yield f"etcd.endpoints ({origins['etcd.endpoints']}) is not used: etcd.use.embed is true"
