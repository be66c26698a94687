"""Write deploy/kubernetes/ from the chart, for whoever has no Helm: `python -m tests.deploy.manifests`."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.tools import DEPLOY, ROOT, run

CHART = ROOT / "helm" / "gateway"
APP = ROOT / "helm" / "examples" / "app"
FOLDER = DEPLOY / "kubernetes"
HELMS_OWN = ("helm.sh/chart", "app.kubernetes.io/managed-by")
OPERATOR = "monitoring.coreos.com/v1"  # its kinds are not Kubernetes's own
TOP = "# Written by `make docs` from the chart in helm/gateway; do not edit.\n"


def rendered(*arguments: str | Path, chart: Path = CHART, release: str = "release") -> list[dict[str, Any]]:
    """Return what Helm makes of a chart."""
    said = run("helm", "template", release, chart, *arguments)
    text = "\n".join(line for line in said.splitlines() if not line.startswith("level="))
    return [document for document in yaml.safe_load_all(text) if document]


def rendered_app(folder: Path, release: str = "release") -> list[dict[str, Any]]:
    """Return what Helm makes of the application that depends on the chart, laid out as `helm dependency build` does."""
    shutil.copytree(APP, folder)
    shutil.copytree(CHART, folder / "charts" / "gateway")
    return rendered(chart=folder, release=release)


def manifests() -> dict[str, str]:
    """Return the files by their names. The configuration of the base is a file that kustomize makes a ConfigMap of."""
    documents = rendered(release="gateway")
    [config] = [one["data"]["config.yaml"] for one in documents if one["kind"] == "ConfigMap"]
    with tempfile.TemporaryDirectory() as folder:
        sidecar = rendered_app(Path(folder) / "app", release="app")
    return {
        "base/config.yaml": TOP + config,
        "base/gateway.yaml": _plain([one for one in documents if one["kind"] != "ConfigMap"]),
        "sidecar/app.yaml": _plain([one for one in sidecar if one["apiVersion"] != OPERATOR]),
    }


def _plain(documents: list[dict[str, Any]]) -> str:
    return TOP + yaml.safe_dump_all([_without_helm(one) for one in documents], sort_keys=False, width=120)


def _without_helm(value: Any) -> Any:
    """Leave out what only Helm needs."""
    if isinstance(value, list):
        return [_without_helm(one) for one in value]
    if not isinstance(value, dict):
        return value
    kept = {key: _without_helm(one) for key, one in value.items() if key not in HELMS_OWN and key != "checksum/config"}
    return {key: one for key, one in kept.items() if one or key != "annotations"}


if __name__ == "__main__":
    for name, text in manifests().items():
        (FOLDER / name).parent.mkdir(parents=True, exist_ok=True)
        (FOLDER / name).write_text(text)
