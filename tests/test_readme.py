"""What the first page tells a newcomer to paste does what it says."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway_process import GatewayProcess, running

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
AWS = ROOT / ".clients" / "aws-cli-2" / "bin"


def _block(language: str, word: str) -> str:
    """Return the one block of a language in which a word occurs."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    [found] = [block for block in blocks if word in block]
    return found


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[GatewayProcess]:
    disk = {"disk": {"type": "local", "path": str(tmp_path / "data")}}
    with running(GatewayProcess(tmp_path, extra={"backends": disk})) as gateway:
        yield gateway


def _run(command: list[str], gateway: GatewayProcess) -> str:
    """Run a command as someone who has pasted what `make serve` prints."""
    pasted = {
        "AWS_ACCESS_KEY_ID": gateway.access_key,
        "AWS_SECRET_ACCESS_KEY": gateway.secret_key,
        "AWS_ENDPOINT_URL": gateway.endpoint,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "PATH": f"{AWS}:{os.environ['PATH']}",
    }
    done = subprocess.run(command, cwd=gateway.folder, env=pasted, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_tour_with_boto3_works_and_leaves_nothing_behind(gateway: GatewayProcess):
    _run([sys.executable, "-c", _block("python", "boto3")], gateway)
    assert gateway.client().list_buckets()["Buckets"] == []


@pytest.mark.skipif(not AWS.exists(), reason="make test-clients has not set up the AWS CLI")
def test_the_tour_with_the_aws_cli_works_and_its_second_sync_copies_nothing(gateway: GatewayProcess):
    docs = gateway.folder / "docs"
    shutil.copytree(ROOT / "docs", docs)
    said = _run(["bash", "-euo", "pipefail", "-c", _block("sh", "aws s3 mb")], gateway)
    assert said.count("upload: docs/") == sum(path.is_file() for path in docs.rglob("*"))
    assert said.count("hello\n") == 3
    assert gateway.client().list_buckets()["Buckets"] == []


def test_the_commands_of_the_first_screen_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"(?:^|`)make ([a-z0-9-]+)", README, re.MULTILINE))
    assert {"serve", "test"} <= named
    assert [name for name in named if not re.search(rf"^{name}:", makefile, re.MULTILINE)] == []
