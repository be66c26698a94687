"""Routes as a user sees them: a gateway in a process of its own, boto3 in front, files behind."""

import json
import urllib.request

import pytest
from botocore.exceptions import ClientError

from tests.gateway_process import GatewayProcess, free_port, running

BUCKETS = {
    "media": {"backend": "disk", "name": "acme-media"},
    "one": {"backend": "disk", "name": "tenants", "prefix": "a/"},
    "two": {"backend": "disk", "name": "tenants", "prefix": "b/"},
    "fixed": {"backend": "disk", "name": "media-fixed", "read_only": True},
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    with running(GatewayProcess(tmp_path_factory.mktemp("gateway"), extra={"buckets": BUCKETS})) as process:
        (process.objects / "media-fixed").mkdir()
        (process.objects / "media-fixed" / "there").write_text("fixed")
        yield process


@pytest.fixture(scope="module")
def s3(gateway):
    client = gateway.client()
    for bucket in ("media", "one", "two"):
        client.create_bucket(Bucket=bucket)
    return client


def test_objects_lie_where_the_routes_say(gateway, s3):
    for bucket in ("media", "one", "two"):
        s3.put_object(Bucket=bucket, Key="x/y", Body=bucket.encode())
    for place in ("acme-media/x/y", "tenants/a/x/y", "tenants/b/x/y"):
        assert (gateway.objects / place).exists()
    assert [o["Key"] for o in s3.list_objects_v2(Bucket="one")["Contents"]] == ["x/y"]
    assert s3.get_object(Bucket="two", Key="x/y")["Body"].read() == b"two"
    assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == ["fixed", "media", "one", "two"]


def test_an_upload_and_a_copy_go_from_prefix_to_prefix(gateway, s3):
    upload = s3.create_multipart_upload(Bucket="one", Key="big")["UploadId"]
    part = s3.upload_part(Bucket="one", Key="big", UploadId=upload, PartNumber=1, Body=b"part")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(Bucket="one", Key="big", UploadId=upload, MultipartUpload=parts)
    s3.copy_object(Bucket="two", Key="copy", CopySource="one/big")
    assert (gateway.objects / "tenants" / "b" / "copy").read_bytes() == b"part"


def test_a_large_object_under_a_prefix_is_sent_whole(s3):
    data = bytes(range(256)) * 20_000
    s3.put_object(Bucket="one", Key="large", Body=data)
    assert s3.get_object(Bucket="one", Key="large")["Body"].read() == data
    assert s3.get_object(Bucket="one", Key="large", Range="bytes=1000000-")["Body"].read() == data[1_000_000:]


def test_a_read_only_bucket_is_read(gateway, s3):
    assert s3.get_object(Bucket="fixed", Key="there")["Body"].read() == b"fixed"
    s3.copy_object(Bucket="one", Key="from-fixed", CopySource="fixed/there")


@pytest.mark.parametrize(
    "write",
    [
        lambda s3: s3.put_object(Bucket="fixed", Key="x", Body=bytes(3_000_000)),
        lambda s3: s3.delete_object(Bucket="fixed", Key="there"),
        lambda s3: s3.copy_object(Bucket="fixed", Key="x", CopySource="fixed/there"),
        lambda s3: s3.create_multipart_upload(Bucket="fixed", Key="x"),
        lambda s3: s3.create_bucket(Bucket="fixed"),
        lambda s3: s3.delete_bucket(Bucket="fixed"),
    ],
)
def test_a_write_to_a_read_only_bucket_says_why_not(gateway, s3, write):
    with pytest.raises(ClientError, match="read-only") as caught:
        write(s3)
    assert caught.value.response["Error"]["Code"] == "AccessDenied"
    assert [file.name for file in (gateway.objects / "media-fixed").iterdir()] == ["there"]


def test_each_key_of_a_deletion_in_a_read_only_bucket_is_denied(gateway, s3):
    answer = s3.delete_objects(Bucket="fixed", Delete={"Objects": [{"Key": "there"}]})
    assert [error["Code"] for error in answer["Errors"]] == ["AccessDenied"]
    assert (gateway.objects / "media-fixed" / "there").exists()


def test_errors_do_not_tell_where_a_bucket_lies(s3):
    for call in (
        lambda: s3.get_object(Bucket="one", Key="missing"),
        lambda: s3.delete_bucket(Bucket="one"),
        lambda: s3.head_object(Bucket="one", Key=".gw/bucket"),
    ):
        with pytest.raises(ClientError) as caught:
            call()
        assert "tenants" not in str(caught.value.response["Error"])
        assert "a/" not in str(caught.value.response["Error"])


def test_what_lies_around_a_prefix_cannot_be_reached(s3):
    with pytest.raises(ClientError, match="NoSuchBucket"):
        s3.get_object(Bucket="tenants", Key="a/x/y")


@pytest.fixture(scope="module")
def degraded(tmp_path_factory):
    """A gateway with two workers, one of whose backends is not there."""
    folder = tmp_path_factory.mktemp("degraded")
    dead = {"type": "s3", "endpoint": f"http://127.0.0.1:{free_port()}", "access_key": "a", "secret_key": "b"}
    extra = {
        "workers": 2,
        "backends": {"disk": {"type": "local", "path": str(folder / "objects")}, "dead": dead},
        "buckets": {"here": {"backend": "disk"}, "lost": {"backend": "dead"}},
    }
    with running(GatewayProcess(folder, extra=extra)) as process:
        process.client().create_bucket(Bucket="here")
        yield process


def admin(gateway, path):
    return urllib.request.urlopen(f"http://127.0.0.1:{gateway.admin_port}{path}").read().decode()


def test_a_gateway_that_reaches_one_of_its_backends_is_ready_and_says_that_it_is_degraded(degraded):
    told = json.loads(admin(degraded, "/readyz"))
    assert (told["ready"], told["degraded"]) == (True, True)
    assert told["backends"] == {"disk": "reachable", "dead": "unreachable"}


def test_what_cannot_be_asked_for_is_never_told_as_missing(degraded):
    s3 = degraded.client()
    for call in (
        s3.list_buckets,
        lambda: s3.get_object(Bucket="lost", Key="key"),
        lambda: s3.list_objects_v2(Bucket="lost"),
        lambda: s3.put_object(Bucket="lost", Key="key", Body=b"data"),
    ):
        with pytest.raises(ClientError) as caught:
            call()
        assert caught.value.response["Error"]["Code"] == "ServiceUnavailable"


def test_the_other_backends_go_on(degraded):
    s3 = degraded.client()
    s3.put_object(Bucket="here", Key="key", Body=b"data")
    assert s3.get_object(Bucket="here", Key="key")["Body"].read() == b"data"


def test_workers_count_the_calls_of_their_backends_together(degraded):
    for _ in range(20):
        s3 = degraded.client()  # each on a connection of its own, and so to any worker
        s3.put_object(Bucket="here", Key="counted", Body=bytes(1000))
        s3.close()
    lines = admin(degraded, "/metrics").splitlines()
    found = dict(line.rsplit(" ", 1) for line in lines if line.startswith("gateway_backend"))
    puts = 'backend="disk",operation="put"'
    assert float(found[f'gateway_backend_calls_total{{{puts},outcome="ok"}}']) >= 20
    assert float(found[f"gateway_backend_sent_bytes_total{{{puts}}}"]) >= 20_000
    assert float(found[f"gateway_backend_seconds_count{{{puts}}}"]) >= 20
    assert 'gateway_backend_calls_total{backend="dead",operation="list_objects",outcome="failure"}' in found
