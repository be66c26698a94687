"""Every promise of every script in scripts/, kept by the client it is written for: a function there is a test here."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.clients

SCRIPTS = Path(__file__).parent / "scripts"
# Which environments keep the promises of a script, and by which variable each is told whom to trust.
KEEPERS = {
    "with_aiobotocore": {"s3fs": "AWS_CA_BUNDLE"},
    "with_boto3": {"boto3": "AWS_CA_BUNDLE", "boto3-1.35": "AWS_CA_BUNDLE"},
    "with_deltalake": {"polars": "SSL_CERT_FILE"},
    "with_minio": {"minio": "SSL_CERT_FILE"},
    "with_obstore": {"obstore": "SSL_CERT_FILE"},
    "with_opendal": {"opendal": "SSL_CERT_FILE"},
    "with_polars": {"polars": "SSL_CERT_FILE"},
    "with_pyarrow": {"pyarrow": "AUTHORITY"},
    "with_s3fs": {"s3fs": "AWS_CA_BUNDLE"},
}
# What a storage cannot do, so that no gateway in front of it can.
LACKING = {
    ("s3-moto", "upload_fileobj_sends_a_large_file_in_parts"): "moto tells nothing of a single part",
    ("s3-r2", "parts_may_come_in_any_order_and_twice"): "R2 wants all parts but the last to be of one size",
    ("s3-moto", "of_twenty_that_create_at_once_one_succeeds"): "moto looks first and writes later",
    ("s3-moto", "of_writers_at_once_each_adds_a_version"): "moto looks first and writes later",
}


@dataclass(frozen=True)
class Promise:
    """A function of a script, and the environment whose client is to keep it."""

    script: str
    name: str
    keeper: str
    trusts: str


def _promises() -> Iterator[Promise]:
    for script in sorted(SCRIPTS.glob("with_*.py")):
        functions = (ast.FunctionDef, ast.AsyncFunctionDef)
        names = [node.name for node in ast.parse(script.read_text()).body if isinstance(node, functions)]
        for keeper, trusts in KEEPERS[script.stem].items():
            yield from (Promise(script.stem, name, keeper, trusts) for name in names if not name.startswith("_"))


@pytest.mark.parametrize("promise", list(_promises()), ids=lambda promise: f"{promise.keeper}-{promise.name}")
def test_promise_is_kept(client, endpoint, bucket, promise):
    if lacking := LACKING.get((endpoint.storage.kind, promise.name)):
        pytest.skip(lacking)
    authority = str(endpoint.authority)
    settings = {promise.trusts: authority, "AUTHORITY": authority, "BUCKET": bucket}
    client(promise.keeper, "python", str(SCRIPTS / "keep.py"), **settings)(promise.script, promise.name)
