"""A large object, copied by the AWS CLIs from one cloud to another and to disk: all of it, through little memory."""

import hashlib
import random
from pathlib import Path

import psutil
import pytest

from tests.behind import behind
from tests.clients.running import ACCESS_KEY, SECRET_KEY, Endpoint
from tests.gateway_process import GatewayProcess, running

pytestmark = pytest.mark.clients

MB = 1000**2
SIZE = 200 * MB
MORE = 48 * MB  # what may be needed for the ten parts that a client has copied at once


@pytest.fixture(scope="module")
def storages(tmp_path_factory):
    """Google Cloud Storage, an S3 server and a disk, by the name of the bucket that is routed there."""
    folder = tmp_path_factory.mktemp("storages")
    (folder / "s3").mkdir()
    with behind("gcs", folder) as cloud, behind("s3-gateway", folder / "s3") as server, behind("local", folder) as disk:
        yield {"in-the-cloud": cloud, "on-a-server": server, "on-disk": disk}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory, storages):
    extra = {
        "backends": {storage.kind: dict(storage.settings) for storage in storages.values()},
        "buckets": {bucket: {"backend": storage.kind} for bucket, storage in storages.items()},
    }
    gateway = GatewayProcess(tmp_path_factory.mktemp("gateway"), ACCESS_KEY, SECRET_KEY, extra=extra)
    with running(gateway):
        client = gateway.client()
        for bucket in storages:
            client.create_bucket(Bucket=bucket)
        yield gateway


@pytest.fixture(scope="module")
def sha256(gateway, tmp_path_factory) -> str:
    """Store the object; return its hash."""
    file, content, hashed = tmp_path_factory.mktemp("content") / "x", random.Random(5), hashlib.sha256()
    with file.open("wb") as out:
        for _ in range(SIZE // MB):
            piece = content.randbytes(MB)
            hashed.update(piece)
            out.write(piece)
    with file.open("rb") as content:
        gateway.client().put_object(Bucket="in-the-cloud", Key="x", Body=content)
    return hashed.hexdigest()


@pytest.fixture
def endpoint(gateway, storages) -> Endpoint:
    return Endpoint("http", f"127.0.0.1:{gateway.port}", Path("unused"), storages["in-the-cloud"])


@pytest.fixture(params=["aws-cli-1", "aws-cli-2"])
def aws(request, client):
    return client(request.param, "aws")


@pytest.mark.parametrize("to", ["on-a-server", "on-disk"])
def test_an_object_of_200_mb_is_copied_from_cloud_to_server_and_disk(aws, to, gateway, storages, sha256):
    before = most_memory(gateway)
    aws("s3", "cp", "s3://in-the-cloud/x", f"s3://{to}/{aws.environment.name}")
    assert storages[to].stored(to, aws.environment.name) == {"": sha256}
    assert most_memory(gateway) - before < MORE


@pytest.mark.parametrize("to", ["on-a-server", "on-disk"])
def test_an_object_of_200_mb_is_copied_by_one_request(aws, to, gateway, storages, sha256):
    before = most_memory(gateway)
    aws("s3api", "copy-object", "--copy-source", "in-the-cloud/x", "--bucket", to, "--key", "at-once")
    assert storages[to].stored(to, "at-once") == {"": sha256}
    assert most_memory(gateway) - before < MORE


def most_memory(gateway: GatewayProcess) -> int:
    """Return how many bytes the processes of a gateway have ever had at once."""
    processes = [psutil.Process(gateway.process.pid)]
    processes += processes[0].children(recursive=True)
    told = [Path(f"/proc/{process.pid}/status").read_text() for process in processes]
    return sum(int(status.split("VmHWM:")[1].split()[0]) * 1024 for status in told)
