"""milvus.yaml: where it is looked for, and what it may look like."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from milvus_coord.config import ConfigError, Settings, load, yaml_bounds, yaml_file
from milvus_coord.config.names import UNKNOWN_MAX, squash
from milvus_coord.config.others import OF_EACH_ROLE, READERS
from milvus_coord.config.section import leaves

ROOT = Path(__file__).parents[2]
GO_FILE = Path(__file__).parent / "data" / "milvus-2.2.yaml"


def put(folder: Path, ttl: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "milvus.yaml"
    path.write_text(f"common: {{session: {{ttl: {ttl}}}}}\n")
    return path


def test_search_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_file, "IMAGE_DIR", tmp_path / "image")

    def found(config: Path | None = None, **environ: str) -> Path | None:
        return load("rootcoord", config=config, environ=environ, cwd=tmp_path).file

    given, named = put(tmp_path / "given", 10), put(tmp_path / "named", 11)
    unnamed = [put(tmp_path / name, 12) for name in ("configs", "image", "config")]
    assert found(config=given, MILVUSCONF=str(named)) == given
    assert found(config=given.parent, MILVUSCONF=str(named)) == given
    assert found(MILVUSCONF=str(named)) == named
    for path in unnamed:
        assert found() == path
        path.unlink()
    assert found() is None


@pytest.mark.parametrize("name", ["MILVUSCONF", "MILVUS_CONF", "milvus_conf"])
def test_milvusconf_names_a_directory_or_a_file(name: str, tmp_path: Path) -> None:
    path = put(tmp_path / "x", 33)
    for value in (str(path), str(path.parent), "x", "x/milvus.yaml"):
        loaded = load("rootcoord", environ={name: value}, cwd=tmp_path)
        assert loaded.settings.common.session.ttl == 33


def test_an_empty_milvusconf_is_not_set(tmp_path: Path) -> None:
    path = put(tmp_path / "configs", 33)
    assert load("rootcoord", environ={"MILVUSCONF": ""}, cwd=tmp_path).file == path


def test_a_named_file_must_be_there(tmp_path: Path) -> None:
    put(tmp_path / "configs", 33)
    with pytest.raises(ConfigError) as caught:
        load("rootcoord", config=Path("other.yaml"), environ={}, cwd=tmp_path)
    assert str(caught.value) == (
        f"configuration refused:\n  --config: there is no file {tmp_path}/other.yaml"
    )
    with pytest.raises(ConfigError) as caught:
        load("rootcoord", environ={"MILVUS_CONF": str(tmp_path)}, cwd=tmp_path)
    assert str(caught.value) == (
        "configuration refused:\n"
        f"  environment variable MILVUS_CONF: there is no file {tmp_path}/milvus.yaml"
    )


def settings_of(tmp_path: Path, text: str | bytes) -> Settings:
    path = tmp_path / "milvus.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load("rootcoord", config=path, environ={}).settings


def refused(tmp_path: Path, text: str | bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        settings_of(tmp_path, text)
    return str(caught.value).partition("\n  ")[2].replace(str(tmp_path), "")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing\n",
        "---\n",
        "etcd:\n",
        "etcd: {}\n",
        "etcd:\n  ssl:\n",
        "nobody: {reads: this}\n",
    ],
)
def test_files_that_say_nothing(text: str, tmp_path: Path) -> None:
    assert settings_of(tmp_path, text) == Settings()


def test_texts_are_as_written(tmp_path: Path) -> None:
    settings = settings_of(
        tmp_path,
        """\
etcd:
  rootPath: 007
  ssl: {tlsMinVersion: 1.2}
  auth: {password: 1e3, userName: on}
common: {session: {ttl: "25"}}
LOG: {Stdout: False, file: {rootPath: ''}}
""",
    )
    assert settings.etcd.root_path == "007"
    assert settings.etcd.ssl.tls_min_version == "1.2"
    assert settings.etcd.auth.user_name == "on"
    assert settings.etcd.auth.password.get_secret_value() == "1e3"
    assert settings.common.session.ttl == 25
    assert settings.log.stdout is False


@pytest.mark.parametrize(
    "text",
    [
        "etcd: {endpoints: 'a:1,b:2'}",
        "etcd: {endpoints: ['a:1', 'b:2']}",
        "etcd:\n  endpoints:\n    - a:1\n    - b:2",
        "etcd:\n  endpoints:\n  - x:9\netcd:\n  endpoints:\n  - a:1\n  - b:2",
        "etcd.endpoints: a:1,b:2",
        "base: &base {endpoints: 'a:1,b:2'}\netcd: {<<: *base}",
        "\ufeffetcd: {endpoints: 'a:1,b:2'}",
    ],
)
def test_ways_to_write_a_list(text: str, tmp_path: Path) -> None:
    assert settings_of(tmp_path, text).etcd.endpoints == ("a:1", "b:2")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("etcd:\n  a: b: c\n", "line 2 column 7: is not YAML: mapping values are not allowed"),
        (
            "log:\n\tlevel: info\n",
            "line 2 column 1: is not YAML: found character that cannot start",
        ),
        ("log: [a\n", "line 2 column 1: is not YAML: "),
        ("log: *hunter2\n", "line 1 column 6: is not YAML: found undefined alias"),
        ("a: 1\n---\nb: 2\n", "line 2 column 1: is not YAML: but found another document"),
        ("- a\n", "line 1: must hold sections of keys"),
        ("text\n", "line 1: must hold sections of keys"),
        ("log: {[1, 2]: 3}\n", "line 1: a key must be a plain name"),
        ("a: &a\n  b: *a\n", "line 1: a section contains itself"),
        ("log: {<<: 1}\n", "line 1 column 11: is not YAML: expected a mapping"),
        (b"log:\n  level: \xff\n", "line 2: is not UTF-8 text"),
        (b"log: \x00\n", ": is not YAML: "),
    ],
)
def test_broken_yaml(text: str | bytes, line: str, tmp_path: Path) -> None:
    message = refused(tmp_path, text)
    assert message.startswith("file /milvus.yaml")
    assert line in message
    assert "hunter2" not in message


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "rootCoord:\n  port: {a: b}\n",
            "rootCoord.port (file /milvus.yaml line 2): "
            "must be a whole number from 1 to 65535, not a section",
        ),
        (
            "etcd:\n  endpoints: [{a: b}]\n",
            "etcd.endpoints (file /milvus.yaml line 2): must be host:port, several separated by "
            "commas, not a section",
        ),
        (
            "rootCoord: 53100\n",
            "rootCoord (file /milvus.yaml line 1): must be a section of keys, not one value",
        ),
        (
            "etcd: {auth: hunter2}\n",
            "etcd.auth (file /milvus.yaml line 1): must be a section of keys, not one value",
        ),
    ],
)
def test_sections_and_values_in_each_others_place(text: str, line: str, tmp_path: Path) -> None:
    assert refused(tmp_path, text) == line


def test_without_libyaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fast = load("rootcoord", config=GO_FILE, environ={})
    monkeypatch.setattr(yaml_file, "FastLoader", yaml.SafeLoader)
    monkeypatch.setattr(yaml_bounds, "FastLoader", yaml.SafeLoader)
    assert load("rootcoord", config=GO_FILE, environ={}) == fast
    assert "hunter2" not in refused(tmp_path, "etcd: {auth: {password: *hunter2 }}")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "configs" / "milvus.yaml").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"milvus\.yaml: cannot be read: Is a directory"):
        load("rootcoord", environ={}, cwd=tmp_path)


def test_the_file_of_milvus_is_taken_as_it_is() -> None:
    loaded = load("rootcoord", config=GO_FILE, environ={})
    assert loaded.warnings == ()
    differing = {
        leaf.key: leaf.of(loaded.settings)
        for leaf in leaves(Settings)
        if leaf.of(loaded.settings) != leaf.default
    }
    assert differing == {
        "etcd.ssl.tlsCert": "/path/to/etcd-client.pem",
        "etcd.ssl.tlsKey": "/path/to/etcd-client-key.pem",
        "etcd.ssl.tlsCACert": "/path/to/ca.pem",
        "pulsar.address": "localhost",
    }
    assert loaded.settings.queue == "pulsar"


def test_config_milvus_yaml_lists_every_key_with_its_default() -> None:
    text = (ROOT / "config" / "milvus.yaml").read_text()
    file = yaml_file.read(ROOT / "config" / "milvus.yaml")
    assert load("rootcoord", config=ROOT / "config", environ={}).settings == Settings()

    def readable(key: str) -> bool:
        only = next(leaf for leaf in leaves(Settings) if leaf.key == key).only
        return only is None or "file" in only.sources

    expected = [leaf.key for leaf in leaves(Settings) if readable(leaf.key)]
    unset = [leaf.key for leaf in leaves(Settings) if readable(leaf.key) and leaf.default is None]
    assert [name for name, _ in file.values] == [key for key in expected if key not in unset]
    for name, entry in file.values:
        leaf = next(leaf for leaf in leaves(Settings) if leaf.key == name)
        got, default = leaf.kind.parse(entry.text), leaf.default
        assert got == default, name
    # Keys without a default of their own stand in the file with nothing behind the colon.
    assert [key for key in keys_of(text) if key in unset] == unset
    assert max(map(len, text.splitlines())) <= 120


def keys_of(text: str) -> list[str]:
    """Dotted names of all keys in block style, values or not."""
    names: list[str] = []
    stack: list[tuple[int, str]] = []
    for line in text.splitlines():
        bare = line.strip()
        if not bare or bare.startswith(("#", "-")):
            continue
        indent = len(line) - len(line.lstrip())
        while stack and stack[-1][0] >= indent:
            stack.pop()
        stack.append((indent, bare.partition(":")[0]))
        names.append(".".join(name for _, name in stack))
    return names


def warned(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "milvus.yaml"
    path.write_text(text)
    loaded = load("rootcoord", config=path, environ={})
    return [line.replace(str(path), "F") for line in loaded.warnings]


def test_a_key_that_stands_twice_is_told_with_both_lines(tmp_path: Path) -> None:
    text = "etcd:\n  endpoints: a:1\n  rootPath: x\n  endpoints: b:2\nlog: {level: warn}\nlog: {}\n"
    assert warned(tmp_path, text) == [
        "file F: log stands on line 5 and on line 6; what the last one says is used",
        "file F: etcd.endpoints stands on line 2 and on line 4; what the last one says is used",
    ]


def test_a_key_in_two_spellings_is_told_with_both_lines(tmp_path: Path) -> None:
    assert warned(tmp_path, "rootCoord: {port: 12}\nrootcoord:\n  port: 13\n") == [
        "file F line 1: rootCoord.port is the same key as rootcoord.port on line 3; "
        "what the last one says is used"
    ]


def test_thousands_of_unknown_keys_hold_nobody_up(tmp_path: Path) -> None:
    text = "rootCoord:\n" + "".join(f"  portt{number}: 1\n" for number in range(20_000))
    told = warned(tmp_path, text)
    assert len(told) == UNKNOWN_MAX + 1
    assert told[-1] == f"{20_000 - UNKNOWN_MAX} more keys are unknown and have no effect"


def test_merged_keys_are_no_repetition(tmp_path: Path) -> None:
    text = "x: &x {level: warn}\nlog:\n  <<: *x\n  level: debug\n"
    assert warned(tmp_path, text) == []


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        (
            "rootCoord: {prot: 12}",
            "file F line 1: rootCoord.prot is unknown and has no effect, "
            "did you mean rootCoord.port?",
        ),
        (
            "rootcoord: {enableActiveStandyb: true}",
            "file F line 1: rootcoord.enableActiveStandyb is unknown and has no effect, "
            "did you mean rootCoord.enableActiveStandby?",
        ),
        (
            "ha: {serveLeese: 12}",
            "file F line 1: ha.serveLeese is unknown and has no effect, "
            "did you mean ha.serveLease?",
        ),
        (
            "common: {gracefulTme: 1}",
            "file F line 1: common.gracefulTme is unknown and has no effect, "
            "did you mean common.gracefulTime?",
        ),
        (
            "quotaAndLimits: {dml: {enable: true}}",
            "file F line 1: quotaAndLimits.dml.enable is unknown and has no effect, "
            "did you mean quotaAndLimits.dml.enabled?",
        ),
        (
            "kafka: {brokers: b}",
            "file F line 1: kafka.brokers is unknown and has no effect, "
            "did you mean kafka.brokerList?",
        ),
        (
            "dataCoord: {segments: {maxSize: 1}}",
            "file F line 1: dataCoord.segments.maxSize is unknown and has no effect, "
            "did you mean dataCoord.segment.maxSize?",
        ),
        ("minoi: {port: 1}", "file F line 1: minoi.port is unknown, did you mean minio.port?"),
        ("etcd: {zzzzqqqq: 1}", "file F line 1: etcd.zzzzqqqq is unknown and has no effect"),
        (
            "rootCord: {port: 12}",
            "file F line 1: rootCord.port is unknown, did you mean rootCoord.port?",
        ),
    ],
)
def test_a_key_that_nobody_reads_is_told(text: str, warning: str, tmp_path: Path) -> None:
    assert warned(tmp_path, text) == [warning]


@pytest.mark.parametrize(
    "text",
    [
        *("queryNode: {x: 1}", "minio: {prot: 1}", "extra: 1", "proxy: {x: 1}"),
        *("kafka: {consumer: {x.y: 1}}", "rootCoord: {grpc: {clientMaxSendSize: 1}}"),
    ],
)
def test_what_others_read_is_passed_over(text: str, tmp_path: Path) -> None:
    assert warned(tmp_path, text) == []


def test_every_key_of_milvus_is_known_and_has_one_reader() -> None:
    known = {squash(leaf.key) for leaf in leaves(Settings)}
    others = {squash(key) for key in READERS}
    assert not known & others
    of_roles = {squash(f"proxy.{key}") for key in OF_EACH_ROLE} | {"kafkaconsumerclientid"}
    found = {squash(name) for name, _ in yaml_file.read(GO_FILE).values}
    assert found <= known | others | of_roles | {"kafkaproducerclientid"}


def test_another_metadata_store_is_refused_as_by_go(tmp_path: Path) -> None:
    (tmp_path / "milvus.yaml").write_text("metastore: {type: mysql}")
    with pytest.raises(ConfigError, match=r'metastore\.type = "mysql" .* must be etcd$'):
        load("rootcoord", config=tmp_path, environ={})


def test_milvus_own_file_has_nothing_unknown() -> None:
    loaded = load("rootcoord", config=GO_FILE, environ={})
    assert not [line for line in loaded.warnings if "unknown" in line or "stands on" in line]
