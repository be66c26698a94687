"""Build the image without a registry, and run it: `python -m tests.deploy.image` says where it lies then.

The base is made of Debian's packages, under the name that the Dockerfile asks for. Needs root, buildah and debootstrap.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.clients.setup import CLIENTS
from tests.gateway_process import until

ROOT = Path(__file__).resolve().parents[2]
HERE = CLIENTS / "image"
DEBIAN = HERE / "debian"
BASE = "docker.io/library/python:3.11-slim-bookworm"
IMAGE = "localhost/s3-gateway:test"
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")  # of this machine, for pip during the build
NEEDS = ("buildah", "debootstrap", "unshare", "nsenter")

# What a container engine does for `--read-only --user 65532 --cap-drop all --security-opt no-new-privileges`.
CONTAINER = """
set -e
mount --make-rprivate /
mount --bind "$1" "$1"
mount -o remount,ro,bind "$1"
mount --bind "$2" "$1/var/lib/gateway"
mount -t proc proc "$1/proc"
mount -t tmpfs -o mode=1777 tmpfs "$1/tmp"
ip link set lo up
root=$1; user=${3%:*}; group=${3#*:}; shift 3
exec chroot "$root" /usr/bin/setpriv --reuid "$user" --regid "$group" --clear-groups --no-new-privs \\
    --bounding-set -all --inh-caps -all --reset-env env -C /var/lib/gateway "$@"
"""


def missing() -> list[str]:
    """Return what this machine lacks to build and run an image."""
    lacks = [name for name in NEEDS if shutil.which(name) is None]
    return lacks if os.geteuid() == 0 else ["root", *lacks]


def build() -> None:
    """Build the image, and its base before it if there is none."""
    if BASE not in _buildah("images", "--format", "{{.Name}}:{{.Tag}}"):
        _build_base()
    trust = ["--volume", f"{AUTHORITIES}:{AUTHORITIES}:ro"] if AUTHORITIES.exists() else []
    plainly = ["--isolation", "chroot", "--network", "host", "--format", "docker"]
    _buildah("bud", *plainly, "--pull-never", *trust, "--build-arg", f"REVISION={'0' * 40}", "--tag", IMAGE, ".")


def configuration() -> dict[str, Any]:
    """Return how the image wants to be run."""
    config: dict[str, Any] = json.loads(_buildah("inspect", "--type", "image", IMAGE))["Docker"]["config"]
    return config


@contextlib.contextmanager
def mounted() -> Iterator[Path]:
    """Give the files of the image."""
    container = _buildah("from", "--pull-never", IMAGE).strip()
    try:
        yield Path(_buildah("mount", container).strip())
    finally:
        _buildah("umount", container)
        _buildah("rm", container)


class Container:
    """The image at work: its root read-only, a volume, a network of its own, no right but those of its user."""

    def __init__(self, root: Path, volume: Path, arguments: Sequence[str] = ()) -> None:
        self._config = configuration()
        self._arguments = arguments or self._config["Cmd"]
        self._root, self._volume = root, volume
        self.log = volume.parent / "container.log"

    @contextlib.contextmanager
    def running(self) -> Iterator["Container"]:
        command = [*self._config["Entrypoint"], *self._arguments]
        isolated = ["unshare", "--mount", "--pid", "--ipc", "--uts", "--net", "--fork"]
        inside = ["sh", "-c", CONTAINER, "sh", self._root, self._volume, self._config["User"], *self._config["Env"]]
        with (
            self.log.open("wb") as log,
            subprocess.Popen([*isolated, *map(str, inside), *command], stdout=log, stderr=log) as self._process,
        ):
            try:
                yield self
            finally:  # by us, because --kill-child does not reach everywhere a process that has changed its user
                if self._process.poll() is None:
                    os.kill(self._pid, signal.SIGKILL)

    def enter(self, *command: str | Path, files: bool = False) -> subprocess.CompletedProcess[str]:
        """Run a program in the network of the container, with its `files` or with ours."""
        into = ["nsenter", "--net", *(["--mount", "--root"] if files else []), "--target", str(self._pid)]
        return subprocess.run([*into, *map(str, command)], capture_output=True, text=True, check=False, timeout=60)

    def stop(self) -> int:
        """Tell the gateway to end, and return its exit status."""
        os.kill(self._pid, signal.SIGTERM)
        return self._process.wait(60)

    @property
    def _pid(self) -> int:
        """The process that is the first one inside, as soon as there is one."""
        return int(until(self._children)[0])

    def _children(self) -> list[str]:
        assert self._process.poll() is None, self.log.read_text()
        return Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()


def _build_base() -> None:
    if not (DEBIAN / "etc" / "os-release").exists():
        shutil.rmtree(DEBIAN, ignore_errors=True)
        packages = "--include=ca-certificates,python3,python3-venv"
        _run("debootstrap", "--variant=minbase", packages, "bookworm", str(DEBIAN), "http://deb.debian.org/debian")
    container = _buildah("from", "scratch").strip()
    _run("cp", "--archive", f"{DEBIAN}/.", _buildah("mount", container).strip())
    _buildah("umount", container)
    _buildah("commit", "--rm", container, BASE)


def _buildah(*arguments: str) -> str:
    places = ["--root", str(HERE / "storage"), "--runroot", str(HERE / "run"), "--storage-driver", "vfs"]
    return _run("buildah", *places, *arguments)


def _run(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=1500)
    assert done.returncode == 0, f"{' '.join(command)}\n{(done.stdout + done.stderr)[-6000:]}"
    return done.stdout


if __name__ == "__main__":
    build()
