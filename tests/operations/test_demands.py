import gzip
import json
from pathlib import Path

import botocore
import pytest

from gateway.errors import (
    AccessDenied,
    InvalidArgument,
    InvalidStorageClass,
    NoSuchBucket,
    NotImplementedByGateway,
    S3Error,
)
from gateway.operations.demands import REFUSED, expect_owner, refuse_demands
from tests.operations.calls import bucket, call, service

MODEL = json.loads(
    gzip.decompress((Path(botocore.__file__).parent / "data/s3/2006-03-01/service-2.json.gz").read_bytes())
)
UNDERSTOOD = {
    "x-amz-acl",
    "x-amz-copy-source",
    "x-amz-copy-source-if-match",
    "x-amz-copy-source-if-modified-since",
    "x-amz-copy-source-if-none-match",
    "x-amz-copy-source-if-unmodified-since",
    "x-amz-copy-source-range",
    "x-amz-expected-bucket-owner",
    "x-amz-max-parts",
    "x-amz-metadata-directive",
    "x-amz-mp-object-size",
    "x-amz-object-attributes",
    "x-amz-object-ownership",
    "x-amz-part-number-marker",
    "x-amz-source-expected-bucket-owner",
    "x-amz-website-redirect-location",
}
HARMLESS = {  # ask for nothing that could be missed: who pays, which device, what a lock would have held back
    "x-amz-bypass-governance-retention",
    "x-amz-mfa",
    "x-amz-object-annotation-directive",
    "x-amz-optional-object-attributes",
    "x-amz-request-payer",
    "x-amz-tagging-directive",
}
OF_REFUSED_OPERATIONS = {
    "x-amz-bucket-object-lock-token",
    "x-amz-client-token",
    "x-amz-confirm-remove-self-bucket-access",
    "x-amz-create-session-mode",
    "x-amz-request-route",
    "x-amz-request-token",
    "x-amz-skip-destination-validation",
    "x-amz-transition-default-minimum-object-size",
}


def headers_of_the_model() -> set[str]:
    """Return the names of all x-amz- headers of requests, those of checksums and forwarded answers apart."""
    names = {
        member["locationName"].lower()
        for operation in MODEL["operations"].values()
        if "input" in operation
        for member in MODEL["shapes"][operation["input"]["shape"]].get("members", {}).values()
        if member.get("location") == "header"
    }
    elsewhere = ("x-amz-checksum-", "x-amz-fwd-", "x-amz-sdk-")
    return {name for name in names if name.startswith("x-amz-") and not name.startswith(elsewhere)}


async def demand(headers: dict[str, str], target: str = "/bucket/key", of=None, method: str = "PUT") -> None:
    await refuse_demands(of or service(), call(method, target, headers=headers))


def test_every_header_of_the_model_is_understood_refused_or_known_to_be_harmless():
    assert headers_of_the_model() == UNDERSTOOD | HARMLESS | OF_REFUSED_OPERATIONS | REFUSED.keys()


@pytest.mark.parametrize("name", sorted(REFUSED))
async def test_what_is_not_done_is_refused_by_its_header(name):
    with pytest.raises(S3Error) as caught:
        await demand({name.upper(): "something"})
    assert caught.value.code == ("InvalidStorageClass" if name == "x-amz-storage-class" else "NotImplemented")


@pytest.mark.parametrize(
    "headers",
    [
        {"x-amz-storage-class": "STANDARD"},
        {"x-amz-tagging": ""},
        {"x-amz-bucket-object-lock-enabled": "false"},
        {"x-amz-object-lock-legal-hold": "OFF"},
        dict.fromkeys(HARMLESS | {"x-amz-sdk-checksum-algorithm", "amz-sdk-request", "x-amz-user-agent"}, "x"),
    ],
)
async def test_what_asks_for_nothing_is_let_through(headers):
    await demand(headers)


async def test_another_storage_class_is_named():
    with pytest.raises(InvalidStorageClass) as caught:
        await demand({"x-amz-storage-class": "GLACIER"})
    assert caught.value.fields == {"StorageClassRequested": "GLACIER"}


async def test_encryption_is_refused_even_where_s3_would_do_it_anyway():
    with pytest.raises(NotImplementedByGateway) as caught:
        await demand({"x-amz-server-side-encryption": "AES256"})
    assert caught.value.fields == {"Header": "x-amz-server-side-encryption"}


async def test_the_owner_of_the_bucket_may_be_expected():
    of = await bucket(service())
    await demand({"x-amz-expected-bucket-owner": "alice-id"}, of=of)
    with pytest.raises(AccessDenied):
        await demand({"x-amz-expected-bucket-owner": "bob-id"}, of=of)
    with pytest.raises(NoSuchBucket):
        await demand({"x-amz-expected-bucket-owner": "bob-id"})


async def test_the_owner_of_another_bucket_may_be_expected():
    of = await bucket(await bucket(service()), "other", owner="bob-id")
    asking = call("PUT", "/bucket/key")
    await expect_owner(of, asking, "other", "bob-id")
    with pytest.raises(AccessDenied):
        await expect_owner(of, asking, "other", "alice-id")


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
async def test_the_only_version_is_null(method):
    await demand({}, "/bucket/key?versionId=null", method=method)
    for version in ("", "other", "NULL"):
        with pytest.raises(InvalidArgument) as caught:
            await demand({}, f"/bucket/key?versionId={version}", method=method)
        assert caught.value.fields == {"ArgumentName": "versionId", "ArgumentValue": version}
