"""A gateway in front of a server that speaks S3, both as a user runs them, and boto3 in front of the gateway."""

import io

import pytest
from botocore.exceptions import ClientError

from tests.backends.given import MIB, some
from tests.gateway_process import GatewayProcess, running

DATA = some(5 * MIB) * 4


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with running(GatewayProcess(tmp_path_factory.mktemp("server"))) as server:
        account = {
            "type": "s3",
            "endpoint": server.endpoint,
            "dialect": "aws",
            "addressing": "path",
            "access_key": server.access_key,
            "secret_key": server.secret_key,
        }
        extra = {"backends": {"afar": account}, "buckets": {"*": {"backend": "afar"}}}
        front = GatewayProcess(tmp_path_factory.mktemp("front"), access_key="FRONTKEY", extra=extra)
        with running(front):
            client = front.client()
            client.create_bucket(Bucket="bucket")
            yield client


def test_what_is_put_is_got(client):
    client.put_object(Bucket="bucket", Key="a/key", Body=b"data", Metadata={"name": "value"}, ContentType="text/x")
    got = client.get_object(Bucket="bucket", Key="a/key", ChecksumMode="ENABLED")
    assert (got["Body"].read(), got["Metadata"], got["ContentType"]) == (b"data", {"name": "value"}, "text/x")
    assert got["ChecksumCRC32"]
    assert client.get_object(Bucket="bucket", Key="a/key", Range="bytes=1-2")["Body"].read() == b"at"


def test_a_large_file_goes_up_in_parts_and_comes_down_whole(client):
    client.upload_fileobj(io.BytesIO(DATA), "bucket", "large")
    assert client.head_object(Bucket="bucket", Key="large")["ETag"].strip('"').endswith("-3")
    back = io.BytesIO()
    client.download_fileobj("bucket", "large", back)
    assert back.getvalue() == DATA
    client.copy({"Bucket": "bucket", "Key": "large"}, "bucket", "copy")
    assert client.get_object(Bucket="bucket", Key="copy")["Body"].read() == DATA


def test_listings_and_deletions(client):
    for key in ("list/a", "list/b/c", "list/d"):
        client.put_object(Bucket="bucket", Key=key, Body=b"")
    page = client.list_objects_v2(Bucket="bucket", Prefix="list/", Delimiter="/")
    assert [entry["Key"] for entry in page["Contents"]] == ["list/a", "list/d"]
    assert page["CommonPrefixes"] == [{"Prefix": "list/b/"}]
    gone = client.delete_objects(Bucket="bucket", Delete={"Objects": [{"Key": "list/a"}, {"Key": "list/d"}]})
    assert len(gone["Deleted"]) == 2
    assert client.list_objects_v2(Bucket="bucket", Prefix="list/")["KeyCount"] == 1


def test_conditions_reach_the_server(client):
    client.put_object(Bucket="bucket", Key="lock", Body=b"mine", IfNoneMatch="*")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        client.put_object(Bucket="bucket", Key="lock", Body=b"yours", IfNoneMatch="*")
    assert client.get_object(Bucket="bucket", Key="lock")["Body"].read() == b"mine"


def test_what_is_missing_is_named(client):
    with pytest.raises(ClientError, match="NoSuchKey"):
        client.get_object(Bucket="bucket", Key="nothing")
    with pytest.raises(ClientError, match="NoSuchBucket"):
        client.get_object(Bucket="nowhere", Key="nothing")
