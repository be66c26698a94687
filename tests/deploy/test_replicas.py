"""Gateways before the same storage are one to their clients, who come to another one with each request."""

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import cycle
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.behind import behind
from tests.gateway_process import GatewayProcess, running

PART = 5 * 1024 * 1024


@pytest.fixture(scope="module", params=["s3-moto", "gcs"])
def clients(request, tmp_path_factory) -> Iterator[Iterator[Any]]:
    """Clients of two gateways, by turns."""
    folder = tmp_path_factory.mktemp("replicas")
    with ExitStack() as opened:
        storage = opened.enter_context(behind(request.param, folder))
        extra = {"backends": {"shared": dict(storage.settings)}, "buckets": {"*": {"backend": "shared"}}}
        gateways = [opened.enter_context(running(GatewayProcess(folder / name, extra=extra))) for name in ("a", "b")]
        gateways[0].client().create_bucket(Bucket="media")
        yield cycle([gateway.client() for gateway in gateways])


def test_what_one_has_written_the_other_reads_lists_and_deletes(clients: Iterator[Any]):
    next(clients).put_object(Bucket="media", Key="a/b", Body=b"here", Metadata={"author": "me"})
    found = next(clients).get_object(Bucket="media", Key="a/b")
    assert (found["Body"].read(), found["Metadata"]) == (b"here", {"author": "me"})
    assert [one["Key"] for one in next(clients).list_objects_v2(Bucket="media")["Contents"]] == ["a/b"]
    next(clients).delete_object(Bucket="media", Key="a/b")
    next(clients)
    with pytest.raises(ClientError, match="404"):
        next(clients).head_object(Bucket="media", Key="a/b")


def test_an_upload_in_parts_goes_through_both(clients: Iterator[Any]):
    bodies = [bytes([number]) * PART for number in range(3)]
    upload = next(clients).create_multipart_upload(Bucket="media", Key="large")["UploadId"]
    at = {"Bucket": "media", "Key": "large", "UploadId": upload}
    tags = [next(clients).upload_part(**at, PartNumber=n, Body=body)["ETag"] for n, body in enumerate(bodies, 1)]
    assert [part["ETag"] for part in next(clients).list_parts(**at)["Parts"]] == tags
    parts = [{"PartNumber": number, "ETag": tag} for number, tag in enumerate(tags, 1)]
    next(clients).complete_multipart_upload(**at, MultipartUpload={"Parts": parts})
    for _ in range(2):
        stored = next(clients).get_object(Bucket="media", Key="large")["Body"].read()
        assert hashlib.sha256(stored).digest() == hashlib.sha256(b"".join(bodies)).digest()


def test_of_two_who_create_an_object_by_different_gateways_one_does(clients: Iterator[Any]):
    next(clients).put_object(Bucket="media", Key="once", Body=b"first", IfNoneMatch="*")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        next(clients).put_object(Bucket="media", Key="once", Body=b"second", IfNoneMatch="*")
