"""The Helm chart, and the swap of one role in Milvus' own: rendered, refused, valid."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from milvus_coord.config.loading import load

ROOT: Final = Path(__file__).parents[2]
CHART: Final = ROOT / "deploy" / "helm" / "milvus-coord"
SWAP: Final = ROOT / "deploy" / "helm" / "swap-rootcoord"
MILVUS_CHART: Final = Path(__file__).parent / "helm" / "milvus-chart.yaml"
PAGE: Final = ROOT / "docs" / "helm.md"
CACHE: Final = ROOT / ".cache" / "helm"
RELEASES: Final = ("1.25.0", "1.32.0")
ONLY_PAIRS: Final = (
    "You can set the number of replicas greater than 1 only if you also need to set "
    "activeStandby.enabled to true."
)
ON_SSD: Final = {
    "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": [{"key": "ssd", "operator": "Exists"}]}]
        }
    }
}
SECRET: Final = {
    "name": "ETCD_AUTH_PASSWORD",
    "valueFrom": {"secretKeyRef": {"name": "etcd", "key": "password"}},
}
SETS: Final[dict[str, dict[str, Any]]] = {
    "defaults": {},
    "one alone": {"rootCoordinator": {"replicas": 1, "activeStandby": {"enabled": False}}},
    "one that may be joined": {"rootCoordinator": {"replicas": 1}},
    "three": {"rootCoordinator": {"replicas": 3}, "podDisruptionBudget": {"enabled": False}},
    "placed": {"nodeSelector": {"zone": "a"}, "affinity": ON_SSD,
               "tolerations": [{"key": "dedicated", "operator": "Exists"}]},
    "placed by role": {"nodeSelector": {"zone": "a"}, "rootCoordinator": {
        "nodeSelector": {"zone": "b"}, "affinity": ON_SSD,
        "tolerations": [{"key": "milvus", "operator": "Exists"}]}},
    "resources, environment": {"rootCoordinator": {"extraEnv": [SECRET], "resources": {
        "requests": {"cpu": "500m", "memory": "512Mi"}, "limits": {"memory": "2Gi"}}}},
    "Kafka, another port": {"config": {
        "mq": {"type": "kafka"}, "kafka": {"brokerList": "kafka:9092"},
        "rootCoord": {"port": 53200}}},
    "made by others": {"existingConfigMap": "mine", "image": {"pullSecrets": ["registry"]},
                       "serviceAccount": {"create": True, "annotations": {"a": "b"}}},
    "profiling, no probes": {"rootCoordinator": {"profiling": {"enabled": True}},
                             "livenessProbe": {"enabled": False},
                             "readinessProbe": {"enabled": False}},
}  # fmt: skip
REFUSED: Final[dict[str, tuple[dict[str, Any], str]]] = {
    "two that both lead": (
        {"rootCoordinator": {"replicas": 2, "activeStandby": {"enabled": False}}},
        ONLY_PAIRS,
    ),
    "datacoord": ({"dataCoordinator": {"enabled": True}}, "no datacoord yet"),
    "indexcoord": ({"indexCoordinator": {"enabled": True}}, "no indexcoord yet"),
    "querycoord": ({"queryCoordinator": {"enabled": True}}, "no querycoord yet"),
    "a misspelt key": ({"rootCoordinator": {"replica": 2}}, "replica"),
    "a count that is none": ({"rootCoordinator": {"replicas": -1}}, "replicas"),
}
Manifests = dict[str, dict[str, Any]]


@pytest.fixture(scope="module", autouse=True)
def tools() -> None:
    """Skip all of this where the tools are not there; continuous integration fetches them."""
    check = [str(ROOT / "scripts" / "helm-tools"), "--check"]
    done = subprocess.run(check, capture_output=True, text=True, check=False, timeout=50)
    if done.returncode:
        pytest.skip(done.stderr.strip())


def run(*argv: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run one of the tools, with nothing of the user's own settings."""
    environ = {"PATH": f"{CACHE / 'bin'}:{os.environ['PATH']}", "HOME": str(CACHE)}
    return subprocess.run(
        argv, env=environ, input=stdin, capture_output=True, text=True, check=False, timeout=50
    )


def template(values: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    return run(
        "helm", "template", "coord", str(CHART), "--kube-version", RELEASES[0], "--values", "-",
        stdin=yaml.safe_dump(values),
    )  # fmt: skip


def by_kind(text: str) -> Manifests:
    """The documents of `text`, by kind; of several Deployments the last."""
    return {each["kind"]: each for each in yaml.safe_load_all(text) if each}


def rendered(name: str) -> Manifests:
    done = template(SETS[name])
    assert done.returncode == 0, done.stderr
    return by_kind(done.stdout)


def pod(manifests: Manifests) -> dict[str, Any]:
    found: dict[str, Any] = manifests["Deployment"]["spec"]["template"]["spec"]
    return found


def validate(text: str) -> None:
    """Against the strict schemas of each release: an unknown field is a mistake."""
    for release in RELEASES:
        schemas = f"{CACHE}/schemas/{{{{.NormalizedKubernetesVersion}}}}-standalone-strict/"
        done = run(
            "kubeconform", "-strict", "-summary", "-kubernetes-version", release,
            "-schema-location", schemas + "{{.ResourceKind}}{{.KindSuffix}}.json", "-",
            stdin=text,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Skipped: 0" in done.stdout


def test_lint() -> None:
    done = run("helm", "lint", "--strict", str(CHART))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", SETS)
def test_valid_for_kubernetes(name: str) -> None:
    done = template(SETS[name])
    assert done.returncode == 0, done.stderr
    validate(done.stdout)


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    values, said = REFUSED[name]
    done = template(values)
    assert done.returncode != 0
    assert said in done.stderr


def test_the_validator_sees_a_mistake() -> None:
    text = template({}).stdout
    assert "minReadySeconds" in text
    with pytest.raises(AssertionError, match="minReadySecond"):
        validate(text.replace("minReadySeconds", "minReadySecond"))


def test_a_pair_keeps_a_ready_standby() -> None:
    manifests = rendered("defaults")
    spec = manifests["Deployment"]["spec"]
    assert spec["replicas"] == 2
    assert spec["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
    }
    budget = manifests["PodDisruptionBudget"]["spec"]
    assert budget == {"maxUnavailable": 1, "selector": spec["selector"]}
    (term,) = pod(manifests)["affinity"]["podAntiAffinity"][
        "preferredDuringSchedulingIgnoredDuringExecution"
    ]
    assert term["podAffinityTerm"]["labelSelector"] == spec["selector"]
    shipped = yaml.safe_load((ROOT / "config" / "milvus.yaml").read_text())
    graceful_s = shipped["rootCoord"]["grpc"]["gracefulStopTimeout"]
    assert pod(manifests)["terminationGracePeriodSeconds"] > graceful_s


def test_a_container_as_milvus_runs_it() -> None:
    (container,) = pod(rendered("defaults"))["containers"]
    assert container["args"] == ["milvus", "run", "rootcoord"]
    assert container["env"] == [{"name": "ROOT_COORD_ENABLE_ACTIVE_STANDBY", "value": "true"}]
    assert container["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "metrics"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}
    numbers = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert numbers == {"rootcoord": 53100, "metrics": 9091}


def test_one_alone_is_stopped_before_the_next_starts() -> None:
    manifests = rendered("one alone")
    assert manifests["Deployment"]["spec"]["strategy"] == {"type": "Recreate"}
    assert pod(manifests)["containers"][0]["env"][0]["value"] == "false"
    assert "PodDisruptionBudget" not in manifests


def test_a_role_is_placed_by_its_own_values() -> None:
    common, own = pod(rendered("placed")), pod(rendered("placed by role"))
    assert (common["nodeSelector"], own["nodeSelector"]) == ({"zone": "a"}, {"zone": "b"})
    assert common["affinity"] == own["affinity"] == ON_SSD
    assert own["tolerations"][0]["key"] == "milvus"


def test_settings_reach_the_container() -> None:
    (container,) = pod(rendered("resources, environment"))["containers"]
    assert SECRET in container["env"]
    assert container["resources"]["limits"] == {"memory": "2Gi"}
    annotations = rendered("profiling, no probes")["Deployment"]["spec"]["template"]["metadata"][
        "annotations"
    ]
    assert annotations["pyroscope.io/scrape"] == "true"


def test_others_make_the_configuration_and_the_account() -> None:
    manifests = rendered("made by others")
    assert "ConfigMap" not in manifests
    assert pod(manifests)["volumes"][0]["configMap"] == {"name": "mine"}
    assert pod(manifests)["imagePullSecrets"] == [{"name": "registry"}]
    account = manifests["ServiceAccount"]["metadata"]["name"]
    assert pod(manifests)["serviceAccountName"] == account


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("defaults", ("pulsar", "milvus-pulsar-proxy", 53100)),
        ("Kafka, another port", ("kafka", "milvus-pulsar-proxy", 53200)),
    ],
)
def test_the_daemon_reads_the_configuration(
    tmp_path: Path, name: str, expected: tuple[str, str, int]
) -> None:
    manifests = rendered(name)
    file = tmp_path / "milvus.yaml"
    file.write_text(manifests["ConfigMap"]["data"]["milvus.yaml"])
    loaded = load("rootcoord", config=file, environ={})
    settings = loaded.settings
    assert settings.etcd.endpoints == ("milvus-etcd:2379",)
    assert (settings.mq.type, settings.pulsar.address, settings.root_coord.port) == expected
    assert pod(manifests)["containers"][0]["ports"][0]["containerPort"] == expected[2]


def test_a_change_of_the_configuration_replaces_the_processes() -> None:
    sums = {
        rendered(name)["Deployment"]["spec"]["template"]["metadata"]["annotations"][
            "checksum/config"
        ]
        for name in ("defaults", "Kafka, another port")
    }
    assert len(sums) == 2


def test_swap_in_milvus_own_chart() -> None:
    done = run(str(SWAP / "post-render"), stdin=MILVUS_CHART.read_text())
    assert done.returncode == 0, done.stderr
    validate(done.stdout)
    swapped, untouched = (
        next(
            each
            for each in yaml.safe_load_all(text)
            if each["metadata"]["name"].endswith(f"-{role}")
        )
        for text, role in ((done.stdout, "rootcoord"), (done.stdout, "datacoord"))
    )
    before = list(yaml.safe_load_all(MILVUS_CHART.read_text()))
    assert untouched == before[1]
    assert swapped["metadata"] == before[0]["metadata"]
    assert swapped["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    (ours,) = swapped["spec"]["template"]["spec"]["containers"]
    (theirs,) = before[0]["spec"]["template"]["spec"]["containers"]
    assert ours["image"] == "milvus-coord:0.1.0"
    assert ours["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert {"name": "EXTRA", "value": "kept"} in ours["env"]
    for kept in ("args", "ports", "volumeMounts"):
        assert ours[kept] == theirs[kept]


def test_the_swap_leaves_alone_what_kustomize_would_refuse() -> None:
    twice = (
        "---\n# Source: milvus/charts/pulsar/templates/bookkeeper-configmap.yaml\n"
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: bookie\n"
        'data:\n  httpNumThreads: "8"\n  httpNumThreads: "8"\n'
    )
    done = run(str(SWAP / "post-render"), stdin=twice + "---\n" + MILVUS_CHART.read_text())
    assert done.returncode == 0, done.stderr
    assert twice in done.stdout
    assert "image: milvus-coord:0.1.0" in done.stdout


def test_a_swap_without_a_rootcoord_is_refused() -> None:
    other = MILVUS_CHART.read_text().partition("\n---\n")[2]
    done = run(str(SWAP / "post-render"), stdin=other)
    assert done.returncode == 1
    assert "no Deployment of a rootcoord" in done.stderr


def test_the_image_is_that_of_this_version() -> None:
    (version,) = re.findall(r'(?m)^version = "(.+)"', (ROOT / "pyproject.toml").read_text())
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == version
    assert (
        yaml.safe_load((SWAP / "kustomization.yaml").read_text())["images"][0]["newTag"] == version
    )


def blocks(language: str) -> list[str]:
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", PAGE.read_text())


def test_values_in_the_document_render() -> None:
    found = [yaml.safe_load(block) for block in blocks("yaml")]
    ours = [values for values in found if "cluster" not in values]
    assert ours
    for values in ours:
        done = template(values)
        assert done.returncode == 0, done.stderr


def test_commands_in_the_document_are_understood() -> None:
    lines = "".join(blocks("sh")).replace("\\\n", " ").splitlines()
    commands = [shlex.split(line, comments=True) for line in lines]
    helm = [argv for argv in commands if argv and argv[0] == "helm"]
    assert helm
    for argv in helm:
        known = run("helm", argv[1], "--help").stdout
        for option in (word.partition("=")[0] for word in argv if word.startswith("--")):
            assert option in known, f"{option} of {shlex.join(argv)}"
        for path in (word for word in argv if word.startswith(("./", "deploy/"))):
            assert (ROOT / path).exists(), path
