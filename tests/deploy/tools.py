"""The programs that `make test-deploy` sets up; a test that needs one is skipped where it is not."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deploy.setup import FOLDERS

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"


def program(name: str) -> str:
    """Return where a program is: one that was set up, or else the machine's."""
    path = os.pathsep.join([*map(str, FOLDERS), os.environ["PATH"], "/usr/sbin"])
    found = shutil.which(name, path=path)
    if found is None and os.environ.get("GATEWAY_DEPLOY") == "required":
        pytest.fail(f"{name} is missing, though the tools were said to be set up")
    if found is None:
        pytest.skip(f"make test-deploy has not set up {name}")
    return found


def optional(name: str) -> pytest.MarkDecorator:
    """Skip a test where the machine lacks a program that is not set up for it."""
    return pytest.mark.skipif(shutil.which(name) is None, reason=f"this machine has no {name}")


def run(name: str, *arguments: str | Path, cwd: Path = ROOT, status: int = 0) -> str:
    """Run a program to its end, and return what it said."""
    command = [program(name), *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=110)
    assert done.returncode == status, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr
