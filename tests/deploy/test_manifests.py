"""What deploys the gateway without Helm: manifests, compose, systemd."""

import re
from pathlib import Path

import pytest
import yaml

from gateway.config.load import load
from tests.deploy.manifests import FOLDER, manifests
from tests.deploy.tools import DEPLOY, ROOT, optional, run

KUSTOMIZATIONS = sorted(path.parent for path in FOLDER.glob("*/kustomization.yaml"))
COMPOSE = DEPLOY / "compose" / "compose.yaml"
UNIT = DEPLOY / "systemd" / "gateway.service"


def test_the_manifests_are_what_the_chart_says():
    assert {name: (FOLDER / name).read_text() for name in manifests()} == manifests(), "run make docs"


@pytest.mark.parametrize("folder", KUSTOMIZATIONS, ids=lambda path: path.name)
def test_kustomize_makes_something_of_them_that_kubernetes_knows(folder: Path, tmp_path: Path):
    (tmp_path / "all.yaml").write_text(run("kubectl", "kustomize", folder))
    run("kubernetes-validate", "--strict", "--kubernetes-version", "1.33", tmp_path / "all.yaml")


@pytest.mark.parametrize("folder", ["base", "example"])
def test_the_pods_have_the_configuration_that_lies_beside_them(folder: str):
    documents = list(yaml.safe_load_all(run("kubectl", "kustomize", FOLDER / folder)))
    [config] = [document for document in documents if document["kind"] == "ConfigMap"]
    [workload] = [document for document in documents if document["kind"] == "StatefulSet"]
    pod = workload["spec"]["template"]["spec"]
    [volume] = [volume for volume in pod["volumes"] if volume["name"] == "gateway-config"]
    assert volume["configMap"]["name"] == config["metadata"]["name"]
    assert config["data"]["config.yaml"] == (FOLDER / folder / "config.yaml").read_text()
    read = load(FOLDER / folder / "config.yaml", {"APP_SECRET": "a-secret-for-the-test"})
    assert (read.listen.port, read.admin.port) == (9000, 9001)
    assert pod["terminationGracePeriodSeconds"] > read.drain + 5


def test_compose_names_only_files_that_there_are_and_publishes_the_admin_port_to_nobody():
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    mounts = [
        volume for service in services.values() for volume in service.get("volumes", []) if volume.startswith(".")
    ]
    assert len(mounts) > 4
    assert all((COMPOSE.parent / mount.split(":")[0]).exists() for mount in mounts)
    assert (COMPOSE.parent / services["gateway"]["build"]["context"] / "Dockerfile").exists()
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert not any("9001" in port for port in ports)
    config = load(COMPOSE.parent / "gateway.yaml", {})
    assert int(services["gateway"]["stop_grace_period"].removesuffix("s")) > config.drain
    targets = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["scrape_configs"][0][
        "static_configs"
    ]
    assert targets == [{"targets": [f"gateway:{config.admin.port}"]}]


def test_grafana_finds_the_dashboards_where_compose_puts_them():
    provisioning = DEPLOY / "grafana" / "provisioning"
    [provider] = yaml.safe_load((provisioning / "dashboards" / "files.yaml").read_text())["providers"]
    mounts = yaml.safe_load(COMPOSE.read_text())["services"]["grafana"]["volumes"]
    places = {mount.split(":")[0]: mount.split(":")[1] for mount in mounts}
    for dashboard in (DEPLOY / "grafana").glob("*.json"):
        assert places[f"../grafana/{dashboard.name}"].startswith(provider["options"]["path"])


@optional("systemd-analyze")
def test_systemd_finds_no_fault_with_the_unit_and_little_that_it_may_do(tmp_path: Path):
    unit = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text(), flags=re.MULTILINE)
    (tmp_path / UNIT.name).write_text(unit)
    assert run("systemd-analyze", "verify", tmp_path / UNIT.name) == ""
    run("systemd-analyze", "security", "--offline=true", "--threshold=20", tmp_path / UNIT.name)


def test_the_unit_gives_the_gateway_longer_than_it_drains():
    unit = UNIT.read_text()
    drain = load(ROOT / "config.yaml", {}).drain
    assert int(re.search(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)[1]) > drain
