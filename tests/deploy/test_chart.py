"""What the chart renders is valid for Kubernetes, the gateway and Prometheus; what would lose objects is refused."""

import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.config.fixed import SECTIONS
from gateway.config.load import parse
from gateway.config.models import Config
from tests.deploy.manifests import APP, CHART, OPERATOR, rendered, rendered_app
from tests.deploy.tools import DEPLOY, ROOT, run

EXAMPLES = [CHART / "values.yaml", *sorted((CHART / "examples").glob("*.yaml"))]
KUBERNETES = "1.33"

Documents = list[dict[str, Any]]


def of(documents: Documents, kind: str) -> Documents:
    return [document for document in documents if document["kind"] == kind]


def configuration(documents: Documents) -> Config:
    """Return the configuration as the gateway would read it, with something for each of its references."""
    [text] = [one["data"]["config.yaml"] for one in of(documents, "ConfigMap") if "config.yaml" in one["data"]]
    text = re.sub(r"\$\{file:[^}]*\}", "a-secret-of-a-file", text)
    names = re.findall(r"\$\{(\w+)\}", text)
    return parse(text, "config.yaml", {name: f"some-{name.lower()}-value".replace("_", "-") for name in names})


def pods(documents: Documents) -> list[dict[str, Any]]:
    workloads = [*of(documents, "Deployment"), *of(documents, "StatefulSet")]
    return [workload["spec"]["template"] for workload in workloads]


def gateway_of(pod: dict[str, Any]) -> dict[str, Any]:
    everything = [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]
    [found] = [one for one in everything if one["name"] == "gateway"]
    return found


@pytest.fixture(scope="module")
def app(tmp_path_factory) -> Documents:
    """An application that depends on the chart, as `helm dependency build` lays it out."""
    return rendered_app(tmp_path_factory.mktemp("app") / "app")


@pytest.fixture(scope="module", params=[*EXAMPLES, APP], ids=lambda path: path.stem)
def documents(request, app: Documents) -> Documents:
    return app if request.param == APP else rendered("--values", request.param)


def test_kubernetes_knows_everything_that_is_rendered(documents: Documents, tmp_path: Path):
    own = [document for document in documents if document["apiVersion"] != OPERATOR]
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all(own))
    run("kubernetes-validate", "--strict", "--kubernetes-version", KUBERNETES, tmp_path / "all.yaml")


def test_what_kubernetes_does_not_know_is_noticed(tmp_path: Path):
    [document] = of(rendered(), "StatefulSet")
    document["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    (tmp_path / "all.yaml").write_text(yaml.safe_dump(document))
    run("kubernetes-validate", "--strict", "--kubernetes-version", KUBERNETES, tmp_path / "all.yaml", status=1)


def test_the_gateway_can_read_its_configuration(documents: Documents):
    config = configuration(documents)
    [pod] = pods(documents)
    sidecar = "initContainers" in pod["spec"]
    assert config.listen == ("127.0.0.1" if sidecar else "0.0.0.0", 9000)
    assert config.admin == ("0.0.0.0", 9001)


def test_every_path_of_the_configuration_is_on_a_volume(documents: Documents):
    [pod] = pods(documents)
    mounts = [mount["mountPath"] for mount in gateway_of(pod)["volumeMounts"]]
    [text] = [one["data"]["config.yaml"] for one in of(documents, "ConfigMap") if "config.yaml" in one["data"]]
    paths = re.findall(r"(?:: |file:)(/[^\s}]+)", text)
    assert all(any(path.startswith(mount) for mount in mounts) for path in paths)
    volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
    claims = [claim for one in of(documents, "StatefulSet") for claim in one["spec"].get("volumeClaimTemplates", [])]
    named = volumes | {claim["metadata"]["name"] for claim in claims}
    assert {mount["name"] for mount in gateway_of(pod)["volumeMounts"]} <= named


def test_no_secret_is_rendered(documents: Documents):
    assert not of(documents, "Secret")
    assert not re.search(r"secret_key: (?!['\"]?\$\{)", yaml.safe_dump_all(documents))


def test_the_container_may_do_nothing_but_serve(documents: Documents):
    [pod] = pods(documents)
    security = gateway_of(pod)["securityContext"]
    assert security["readOnlyRootFilesystem"]
    assert security["runAsNonRoot"]
    assert not security["allowPrivilegeEscalation"]
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert f"USER {security['runAsUser']}:{security['runAsGroup']}" in dockerfile


def test_a_pod_is_not_killed_before_it_has_drained(documents: Documents):
    [pod] = pods(documents)
    patience = pod["spec"]["terminationGracePeriodSeconds"]
    pause = gateway_of(pod).get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", ["sleep", "0"])[1]
    assert patience > int(pause) + configuration(documents).drain


def test_services_and_policies_choose_the_pods_and_name_their_ports(documents: Documents):
    [pod] = pods(documents)
    ports = {port["name"] for port in gateway_of(pod)["ports"]}
    for kind, selector in (
        ("Service", "selector"),
        ("PodDisruptionBudget", "selector"),
        ("NetworkPolicy", "podSelector"),
    ):
        for document in of(documents, kind):
            chosen = document["spec"][selector]
            chosen = chosen.get("matchLabels", chosen)
            assert chosen.items() <= pod["metadata"]["labels"].items()
    for service in of(documents, "Service"):
        assert len(service["spec"]["ports"]) == 1, "S3 and what has no password are apart"
        assert service["spec"]["ports"][0]["targetPort"] in ports
    for monitor in of(documents, "ServiceMonitor"):
        chosen = monitor["spec"]["selector"]["matchLabels"]
        found = [one for one in of(documents, "Service") if chosen.items() <= one["metadata"]["labels"].items()]
        assert [one["spec"]["ports"][0]["name"] for one in found] == [monitor["spec"]["endpoints"][0]["port"]]


def test_the_rules_that_are_rendered_are_those_that_are_tested(tmp_path: Path):
    documents = rendered("--set", "prometheusRule.enabled=true,dashboards.enabled=true")
    [rule] = of(documents, "PrometheusRule")
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rule["spec"]))
    run("promtool", "check", "rules", tmp_path / "rules.yml")
    files = sorted((DEPLOY / "prometheus").glob("*.rules.yml"))
    groups = [group for path in files for group in yaml.safe_load(path.read_text())["groups"]]
    assert rule["spec"]["groups"] == groups
    [dashboards] = [one for one in of(documents, "ConfigMap") if one["metadata"]["name"].endswith("-dashboards")]
    there = {path.name: json.loads(path.read_text()) for path in (DEPLOY / "grafana").glob("*.json")}
    assert {name: json.loads(text) for name, text in dashboards["data"].items()} == there


def test_a_sidecar_listens_before_the_application_starts_and_outlives_it(app: Documents):
    [pod] = pods(app)
    [gateway] = pod["spec"]["initContainers"]
    assert gateway["restartPolicy"] == "Always"
    assert "startupProbe" in gateway
    assert "readinessProbe" not in gateway
    assert not of(app, "Service")
    assert [one["kind"] for one in of(app, "PodMonitor")] == ["PodMonitor"]


def test_a_change_of_the_configuration_begins_a_rollout():
    def checksum(region: str) -> str:
        [pod] = pods(rendered("--values", CHART / "examples" / "disk.yaml", "--set", f"config.region={region}"))
        return pod["metadata"]["annotations"]["checksum/config"]

    assert checksum("eu-central-1") == checksum("eu-central-1") != checksum("eu-west-1")


REPLICATED = """
config:
  region: eu-west-1
  keys: {file: /var/lib/gateway/keys}
  state: postgresql://db.example.com/gateway
  replication: {down_after: 20s}
  limits: {memory: 64MiB, client: {rate: 50}}
  log: {level: warning}
  backends:
    near: {type: s3, endpoint: https://near.example.com, dialect: minio}
    far: {type: s3, endpoint: https://far.example.com, dialect: minio}
  buckets:
    "*": {backend: near, fallback: far}
kind: Deployment
onConfigChange: reload
"""


@pytest.fixture
def fingerprint(tmp_path: Path) -> Callable[[str], str]:
    """What replaces the pods when it changes, of a replicated bucket with something else in the place of something."""

    def found(old: str = "", new: str = "") -> str:
        assert old in REPLICATED
        (tmp_path / "values.yaml").write_text(REPLICATED.replace(old, new))
        documents = rendered("--values", tmp_path / "values.yaml")
        configuration(documents)
        [pod] = pods(documents)
        return str(pod["metadata"]["annotations"]["checksum/config"])

    return found


@pytest.mark.parametrize(
    ("old", "new"),
    [("region: eu-west-1", "region: eu-west-2"), ("64MiB", "32MiB"), ("rate: 50", "rate: 60"), ("warning", "error")],
)
def test_pods_that_take_changes_while_they_run_are_not_replaced(fingerprint, old: str, new: str):
    assert fingerprint(old, new) == fingerprint()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("db.example.com", "other.example.com"),
        ("keys: {", "workers: 2\n  keys: {"),
        ("down_after: 20s", "down_after: 30s"),
        ("fallback: far", "mirrors: [far]"),
        ("https://far", "https://farther"),
        ("reload\n", "reload\ntls: {existingSecret: certificate}\n"),
    ],
)
def test_pods_are_replaced_for_what_they_cannot_take_while_they_run(fingerprint, old: str, new: str):
    assert fingerprint(old, new) != fingerprint()


def test_what_the_chart_takes_to_be_fixed_is_what_the_gateway_does():
    helpers = (CHART / "templates" / "_helpers.tpl").read_text()
    [picked] = re.findall(r"pick \$config (.*?) -}}", helpers)
    assert tuple(re.findall(r'"(\w+)"', picked)) == SECTIONS


def test_every_section_of_the_configuration_can_be_said(tmp_path: Path):
    """All that config.yaml has, but for what the chart sets, comes to the gateway as it was said."""
    said = yaml.safe_load((ROOT / "config.yaml").read_text())
    said = {key: value for key, value in said.items() if key not in {"listen", "admin", "drain", "backends", "keys"}}
    said |= {"keys": {"file": "/k"}, "backends": {"disk": {"type": "local", "path": "/var/lib/gateway/objects"}}}
    (tmp_path / "values.yaml").write_text(yaml.safe_dump({"config": said}))
    config = configuration(rendered("--values", tmp_path / "values.yaml"))
    assert config.limits == Config.model_validate({}).limits
    assert config.buckets == Config.model_validate({}).buckets


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ("config.limits.memroy=1GiB", "additional properties 'memroy' not allowed"),
        ("config.log.level=loud", "'error'"),
        ("onConfigChange=restart", "rollout"),
        ("replicaCount=2", "these are in the pod: disk"),
        ("kind=Deployment,autoscaling.enabled=true", "these are in the pod: disk"),
        ("kind=Deployment", "gone with the pod"),
        ("persistence.enabled=false", "gone with the pod"),
        ("config.listen=:80,config.keys.file=k,config.backends.x.type=memory", "not"),
        ("config.keys.file=/k", "backends"),
        ("config.keys[0].access_key=A,config.keys[0].secret_key=plain-text,config.backends.x.type=gcs", "secret_key"),
        ("kind=DaemonSet", "kind"),
        ("replicas=2", "replicas"),
    ],
)
def test_what_loses_objects_or_gives_secrets_away_is_refused(values: str, reason: str):
    assert reason in run("helm", "template", "release", CHART, "--set", values, status=1)


@pytest.mark.parametrize("values", EXAMPLES, ids=lambda path: path.stem)
def test_the_chart_is_without_fault(values: Path):
    run("helm", "lint", "--strict", CHART, "--values", values)


def test_the_chart_bears_the_version_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == project["version"]
    assert yaml.safe_load((APP / "Chart.yaml").read_text())["dependencies"][0]["version"] == chart["version"]
