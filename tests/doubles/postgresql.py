"""A real PostgreSQL of its own, where one is installed: `server()` starts it once per process of the tests."""

import atexit
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from functools import cache
from itertools import count
from pathlib import Path

FOLDERS = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True), *map(Path, os.get_exec_path())]
USERS = ("postgres", "nobody")  # who it runs as where the tests run as root, which it refuses to
DATABASES = count()
SETTINGS = {"fsync": "off", "listen_addresses": "", "max_connections": "200", "log_min_messages": "panic"}


@cache
def programs():
    """The folder of its programs, or None."""
    return next((folder for folder in FOLDERS if (folder / "initdb").exists()), None)


class Server:
    """Listens on a socket in its own folder only."""

    def __init__(self, programs):
        self.programs = programs
        self.folder = Path(tempfile.mkdtemp(prefix="pg"))
        self.user = next((name for name in USERS if _is_user(name)), None) if os.geteuid() == 0 else None
        if self.user:
            shutil.chown(self.folder, self.user)
        self.data = self.folder / "data"
        self._run("initdb", "--auth", "trust", "--username", "gateway", "--encoding", "UTF8", "-D", self.data)
        self.process = None
        self.start()
        atexit.register(self.remove)

    def start(self):
        options = [option for name, value in SETTINGS.items() for option in ("-c", f"{name}={value}")]
        command = [self.programs / "postgres", "-D", self.data, "-k", self.folder, *options]
        self.process = subprocess.Popen(command, user=self.user, cwd=self.folder, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while self._run("pg_isready", "-h", self.folder, check=False).returncode:
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def stop(self):
        """End it at once, as if the machine had lost power."""
        self.process.send_signal(3)
        self.process.wait()

    def remove(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def database(self, template="template0"):
        """Make a database, empty if it is not another's copy, and return its URL."""
        name = f"test{next(DATABASES)}"
        self._run("createdb", "-h", self.folder, "-U", "gateway", "-T", template, name)
        return f"postgresql://gateway@/{name}?host={self.folder}"

    def _run(self, program, *arguments, check=True):
        command = [self.programs / program, *arguments]
        return subprocess.run(command, user=self.user, cwd=self.folder, check=check, capture_output=True)


@cache
def server():
    return Server(programs())


def _is_user(name):
    try:
        return bool(pwd.getpwnam(name))
    except KeyError:
        return False
