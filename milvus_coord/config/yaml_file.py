"""milvus.yaml: finding it, and reading it into flat keys with line numbers."""

from __future__ import annotations

import os.path
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import yaml
from yaml.composer import ComposerError

from milvus_coord.config.errors import ConfigError, Problem
from milvus_coord.config.origin import Entry, Origin
from milvus_coord.config.yaml_bounds import FastLoader, TooLarge, check_bounds, read_bounded

FILE_NAME: Final = "milvus.yaml"
IMAGE_DIR: Final = Path("/milvus/configs")
_NULL: Final = "tag:yaml.org,2002:null"


@dataclass(slots=True, repr=False)
class YamlFile:
    """What a file holds, in its order: dotted keys with their text, and those that are mappings.

    Texts are as written (`1.3` stays "1.3"), lists are joined with ",", nulls are left out.
    `repeated` has a sentence for each key that a mapping holds twice: YAML forbids it, the last one
    wins.
    """

    path: Path | None = None
    values: list[tuple[str, Entry]] = field(default_factory=list)
    sections: list[tuple[str, Origin]] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)


def find(config: Path | None, environ_dir: tuple[str, str] | None, cwd: Path) -> Path | None:
    """The file to read, or None when there is none and nobody named one.

    In this order: `config`, `environ_dir` (name and value of the variable MILVUSCONF), then
    milvus.yaml in ./configs, /milvus/configs, ./config. The first two name a file or a directory.
    Raises ConfigError when one of the first two is given and there is no such file.
    """
    if config is not None:
        return _named(cwd / config, "--config")
    if environ_dir is not None:
        variable, value = environ_dir
        return _named(cwd / value, f"environment variable {variable}")
    for folder in (cwd / "configs", IMAGE_DIR, cwd / "config"):
        file = folder / FILE_NAME
        if os.path.lexists(file):
            return file
    return None


def _named(path: Path, source: str) -> Path:
    file = path / FILE_NAME if os.path.isdir(path) else path
    if not os.path.lexists(file):
        raise ConfigError([Problem(source, f"there is no file {file}")])
    return file


def read(path: Path) -> YamlFile:
    """Read and flatten `path`. Raises ConfigError, with line and column, when it is not YAML."""
    try:
        text = read_bounded(path)
    except OSError as err:
        raise _refused(path, f"cannot be read: {err.strerror}") from None
    except TooLarge as err:
        raise _refused(path, str(err)) from None
    try:
        check_bounds(text.decode("utf-8"))
        loader = FastLoader(text.decode("utf-8"))
        try:
            root = loader.get_single_node()
            return _Flattener(path, loader).flatten(root)
        finally:
            loader.dispose()
    except UnicodeDecodeError as err:
        line = text.count(b"\n", 0, err.start) + 1
        raise _refused(path, "is not UTF-8 text", line) from None
    except TooLarge as err:
        raise _refused(path, str(err)) from None
    except yaml.MarkedYAMLError as err:
        raise _broken(path, err) from None
    except yaml.YAMLError as err:
        raise _refused(path, f"is not YAML: {str(err).splitlines()[0]}") from None


class _Flattener:
    def __init__(self, path: Path, loader: yaml.SafeLoader) -> None:
        self._loader = loader
        self._file = YamlFile(path)
        self._path = path
        self._open: set[int] = set()

    def flatten(self, root: yaml.Node | None) -> YamlFile:
        if isinstance(root, yaml.MappingNode):
            self._mapping(root, "")
        elif root is not None and root.tag != _NULL:
            raise _refused(self._path, "must hold sections of keys", root.start_mark.line + 1)
        return self._file

    def _mapping(self, node: yaml.MappingNode, prefix: str) -> None:
        if id(node) in self._open:
            raise _refused(self._path, "a section contains itself", node.start_mark.line + 1)
        self._open.add(id(node))
        self._note_repeated(node, prefix)
        self._loader.flatten_mapping(node)  # resolves `<<`
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise _refused(self._path, "a key must be a plain name", line)
            self._value(f"{prefix}{key.value}", value, Origin("file", str(self._path), line))
        self._open.discard(id(node))

    def _note_repeated(self, node: yaml.MappingNode, prefix: str) -> None:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                line = key.start_mark.line + 1
                if (before := lines.get(key.value)) is not None:
                    self._file.repeated.append(
                        f"file {self._path}: {prefix}{key.value} stands on line {before} and on "
                        f"line {line}; what the last one says is used"
                    )
                lines[key.value] = line

    def _value(self, name: str, node: yaml.Node, origin: Origin) -> None:
        if isinstance(node, yaml.MappingNode):
            self._file.sections.append((name, origin))
            self._mapping(node, f"{name}.")
        elif isinstance(node, yaml.SequenceNode):
            if all(isinstance(item, yaml.ScalarNode) for item in node.value):
                text = ",".join(item.value for item in node.value)
                self._file.values.append((name, Entry(text, origin)))
            else:
                self._file.sections.append((name, origin))
        elif node.tag != _NULL:
            self._file.values.append((name, Entry(str(node.value), origin)))


def _broken(path: Path, err: yaml.MarkedYAMLError) -> ConfigError:
    what = str(err.problem or err.context or "not YAML")
    if isinstance(err, ComposerError):
        what = what.partition(" '")[0]  # the name of an alias may be half of a password
    mark = err.problem_mark or err.context_mark
    if mark is None:
        return _refused(path, f"is not YAML: {what}")
    return _refused(path, f"is not YAML: {what}", mark.line + 1, mark.column + 1)


def _refused(
    path: Path, what: str, line: int | None = None, column: int | None = None
) -> ConfigError:
    where = str(Origin("file", str(path), line)) + (f" column {column}" if column else "")
    return ConfigError([Problem(where, what)])
