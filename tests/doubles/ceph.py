"""A Ceph Object Gateway on a cluster of one monitor and one disk in memory, unprivileged, in a folder of its own."""

import contextlib
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from tests.gateway_process import free_port

PACKAGES: Final = "radosgw ceph-mon ceph-osd"
PROGRAMS: Final = ("ceph", "ceph-authtool", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
PATIENCE_S: Final = 120
MEMORY: Final = 4 * 1024**3  # bytes that objects may take; nothing is taken before it is needed


class Account(NamedTuple):
    """A user: every one has a tenant of its own, and so names of buckets of its own."""

    access_key: str
    secret_key: str


def missing() -> Sequence[str]:
    """Return the programs of Ceph that are not installed."""
    return [program for program in PROGRAMS if shutil.which(program) is None]


class Ceph:
    """A cluster that runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.users = 0

    def user(self) -> Account:
        """Make a user that nobody else is."""
        self.users += 1
        name = f"user{self.users}"
        account = Account(f"KEY{name.upper()}", f"secret-of-{name}")
        keys = ["--access-key", account.access_key, "--secret-key", account.secret_key]
        who = ["--uid", name, "--tenant", name, "--display-name", name]
        self._run("radosgw-admin", *self._as_gateway, "user", "create", *who, *keys)
        return account

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Set the cluster up and run it."""
        cluster, monitors = str(uuid.uuid4()), (free_port(), free_port())
        self._configure(cluster, monitors)
        new, old = monitors
        both = f"[v2:127.0.0.1:{new},v1:127.0.0.1:{old}]"
        self._run("monmaptool", "--create", "--fsid", cluster, "--addv", "a", both, "monmap")
        self._run("ceph-mon", *self._as_cluster, "-i", "a", "--mkfs", "--monmap", "monmap")
        with contextlib.ExitStack() as started:
            started.enter_context(self._started("ceph-mon", *self._as_cluster, "-i", "a"))
            disk = str(uuid.uuid4())
            self._run("ceph", *self._as_cluster, "--connect-timeout", str(PATIENCE_S), "osd", "new", disk)
            self._run("ceph-osd", *self._as_cluster, "-i", "0", "--mkfs", "--osd-uuid", disk)
            started.enter_context(self._started("ceph-osd", *self._as_cluster, "-i", "0"))
            gateway = started.enter_context(self._started("radosgw", *self._as_gateway))
            self._wait(gateway)
            yield

    @property
    def _as_cluster(self) -> Sequence[str]:
        return ("-c", str(self.folder / "cluster.conf"))

    @property
    def _as_gateway(self) -> Sequence[str]:
        """The gateway asks the monitor in the older protocol: the newer one refuses who does without keys."""
        plain = ("--no-mon-config", "--ms-mon-client-mode", "crc")
        return ("-c", str(self.folder / "gateway.conf"), "-n", "client.gateway", *plain)

    def _configure(self, cluster: str, monitors: tuple[int, int]) -> None:
        new, old = monitors
        for name in ("monitor", "disk", "run", "log"):
            (self.folder / name).mkdir()
        common = {
            "fsid": cluster,
            "public addr": "127.0.0.1",
            **dict.fromkeys(("auth cluster required", "auth service required", "auth client required"), "none"),
            "osd pool default size": 1,
            "osd pool default min size": 1,
            "osd pool default pg num": 1,
            "osd pool default pgp num": 1,
            "osd pool default pg autoscale mode": "off",
            "osd crush chooseleaf type": 0,
            "mon allow pool size one": "true",
            "mon max pg per osd": 1000,
            "mon data": self.folder / "monitor",
            "mon cluster log file": self.folder / "log" / "cluster.log",
            "osd data": self.folder / "disk",
            "osd objectstore": "memstore",
            "memstore device bytes": MEMORY,
            "run dir": self.folder / "run",
            "admin socket": "",
            "log file": self.folder / "log" / "$name.log",
            "pid file": self.folder / "run" / "$name.pid",
            "keyring": self.folder / "keyring",
            "rgw data": self.folder / "run",
            "rgw frontends": f"beast endpoint=127.0.0.1:{self.port} tcp_nodelay=1",
        }
        hosts = {"cluster": f"v2:127.0.0.1:{new},v1:127.0.0.1:{old}", "gateway": f"v1:127.0.0.1:{old}"}
        for name, host in hosts.items():
            _write(self.folder / f"{name}.conf", {"mon host": host, **common})
        self._run("ceph-authtool", "--create-keyring", "keyring", "--gen-key", "-n", "client.gateway")

    def _run(self, *command: str) -> None:
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        assert done.returncode == 0, f"{command[0]} failed: {done.stderr[-2000:]}"

    @contextlib.contextmanager
    def _started(self, *command: str) -> Iterator[subprocess.Popen[bytes]]:
        with (self.folder / "log" / f"{command[0]}.out").open("wb") as out:
            process = subprocess.Popen([*command, "-f"], cwd=self.folder, stdout=out, stderr=out)
        try:
            yield process
        finally:
            process.kill()
            process.wait(PATIENCE_S)

    def _wait(self, gateway: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not _listens(self.port):
            assert gateway.poll() is None, "radosgw ended"
            assert time.monotonic() < deadline, "radosgw does not answer"
            time.sleep(0.05)


@contextlib.contextmanager
def ceph(folder: Path) -> Iterator[Ceph]:
    """Run a cluster that keeps all it has in `folder` and in memory."""
    cluster = Ceph(folder)
    with cluster.running():
        yield cluster


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S).close()
    except OSError:
        return False
    return True


def _write(path: Path, settings: Mapping[str, object]) -> None:
    path.write_text("[global]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items()))
