"""What every test of a client is given: a running gateway, by http and by https, a bucket, a client, files to send."""

import os
import random
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest

from tests.behind import Behind, behind, kinds
from tests.clients.authority import Authority
from tests.clients.running import ACCESS_KEY, REGION, SECRET_KEY, Client, Endpoint, serving
from tests.clients.setup import ENVIRONMENTS

KINDS = kinds(os.environ.get("GATEWAY_BACKEND", "local"))
REQUIRED = os.environ.get("GATEWAY_CLIENTS") == "required"


@pytest.fixture(scope="session")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session", params=KINDS)
def storage(request, tmp_path_factory) -> Iterator[Behind]:
    with behind(request.param, tmp_path_factory.mktemp(request.param)) as storage:
        yield storage


@pytest.fixture(scope="session", params=["http", "https"])
def endpoint(request, tmp_path_factory, authority, storage) -> Iterator[Endpoint]:
    hosts = ["127.0.0.1", "localhost", "s3.test", "*.s3.test"]
    tls = authority.issue("gateway", hosts) if request.param == "https" else None
    with serving(tmp_path_factory.mktemp(request.param), tls, authority.certificate, storage) as endpoint:
        yield endpoint


@pytest.fixture
def bucket(endpoint) -> str:
    """A bucket of the test's own, made before the client under test comes."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    owner = boto3.client(
        "s3",
        endpoint_url=endpoint.url,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        verify=str(endpoint.authority),
    )
    owner.create_bucket(Bucket=name)
    owner.close()
    return name


@pytest.fixture
def client(endpoint, tmp_path) -> Callable[..., Client]:
    """Find a client by name, with the settings it takes from its environment: `client("js", "node", NAME="value")`."""

    def find(name: str, *program: str, **settings: str) -> Client:
        environment = ENVIRONMENTS[name]
        if not environment.possible():
            pytest.skip(f"this machine has no {environment.needs}, which {name} is built with")
        if not environment.ready():
            missing = f"{name} is not set up: `make test-clients` does it"
            pytest.fail(missing) if REQUIRED else pytest.skip(missing)
        home = tmp_path / "home"
        home.mkdir(exist_ok=True)
        return Client(endpoint, environment, home, program, settings)

    return find


@pytest.fixture
def tree(tmp_path) -> Path:
    """A folder as people have them: an empty file, odd names, depths and sizes, all an hour old."""
    then = time.time() - 3600
    root = tmp_path / "tree"
    content = random.Random(2)
    sizes = {
        "empty": 0,
        "a/one byte": 1,
        "a/b/c/deep.txt": 4097,
        "näme mit ümläut & + %41.bin": 70_000,
        "日本/語.bin": 1 << 20,
    }
    for name, size in sizes.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content.randbytes(size))
        os.utime(root / name, (then, then))
    return root


@pytest.fixture
def big(tmp_path) -> Path:
    """A file of 30 MB, which every client sends in parts."""
    file = tmp_path / "big.bin"
    file.write_bytes(random.Random(3).randbytes(30_000_000))
    return file
