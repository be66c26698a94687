import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl

import botocore
import pytest

from gateway.errors import InvalidArgument, MethodNotAllowed, NotImplementedByGateway, S3Error
from gateway.operations.table import OPERATIONS, SUBRESOURCES, SUPPORTED, resolve
from gateway.storage import Address
from tests.operations.calls import ANYBODY, bucket, call, service

MODEL = json.loads(
    gzip.decompress((Path(botocore.__file__).parent / "data/s3/2006-03-01/service-2.json.gz").read_bytes())
)
SUPERSEDED = {  # deprecated names of the same request
    "GetBucketLifecycle",
    "GetBucketNotification",
    "PutBucketLifecycle",
    "PutBucketNotification",
}
ADDED = {"PostObject", "OptionsObject", "Unsupported"}  # rows that no SDK has an operation for
META = "x-amz-meta-size"
PLAIN = {
    "CopyObject",
    "CreateBucket",
    "DeleteBucket",
    "DeleteObject",
    "GetObject",
    "HeadBucket",
    "HeadObject",
    "ListBuckets",
    "ListObjects",
    "PutObject",
}


class Binding(NamedTuple):
    name: str
    method: str
    target: str
    parameters: dict[str, str]
    headers: dict[str, str]
    optional: list[str]


def bindings() -> Iterator[Binding]:
    """Yield how a client asks for each operation of the model, with all that is required of it and no more."""
    for name, operation in MODEL["operations"].items():
        if name in SUPERSEDED:
            continue
        path, _, query = operation["http"]["requestUri"].partition("?")
        target = path.replace("{Bucket}", "bucket").replace("{Key+}", "key")
        members = MODEL["shapes"][operation.get("input", {}).get("shape", "")] if "input" in operation else {}
        parameters = dict(parse_qsl(query, keep_blank_values=True))
        headers = {}
        optional = []
        for member, shape in members.get("members", {}).items():
            required = member in members.get("required", ())
            if shape.get("location") == "querystring":
                if required:
                    parameters[shape["locationName"]] = "1"
                else:
                    optional.append(shape["locationName"])
            elif shape.get("location") == "header" and required:
                headers[shape["locationName"]] = "bucket/key"
        yield Binding(name, operation["http"]["method"], target, parameters, headers, optional)


def asked(binding: Binding, **further: str):
    query = "&".join(f"{name}={value}" for name, value in {**binding.parameters, **further}.items())
    return call(binding.method, f"{binding.target}?{query}", headers=binding.headers)


def name_of(method: str, target: str, **headers: str) -> str:
    return resolve(call(method, target, headers=headers)).name


BINDINGS = [one for one in bindings() if one.name != "ListDirectoryBuckets"]  # its request is told by its host alone
IMPLEMENTED = {row.name for row in SUPPORTED}


@pytest.mark.parametrize("binding", BINDINGS, ids=lambda one: one.name)
def test_every_operation_of_the_model_resolves_to_its_own_name(binding):
    assert resolve(asked(binding)).name == binding.name


@pytest.mark.parametrize("binding", BINDINGS, ids=lambda one: one.name)
def test_optional_parameters_of_the_model_do_not_make_it_another_operation(binding):
    for parameter in binding.optional:
        # these three are what tells an operation from its neighbour
        if parameter in {"id", "annotationName", "max-directory-buckets"}:
            continue
        assert resolve(asked(binding, **{parameter: "1"})).name == binding.name, parameter


def test_rows_and_model_have_the_same_names():
    rows = [row.name for row in OPERATIONS]
    assert len(rows) == len(set(rows))
    assert set(rows) - ADDED == set(MODEL["operations"]) - SUPERSEDED


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "POST", "DELETE"])
@pytest.mark.parametrize("target", ["/", "/bucket", "/bucket/key"])
def test_no_subresource_is_ever_taken_for_a_plain_operation(method, target):
    harmless = {"versionId", "partNumber"} if method in {"GET", "HEAD", "DELETE"} and target == "/bucket/key" else set()
    for subresource in SUBRESOURCES - harmless:
        for query in (
            subresource,
            f"{subresource}=",
            f"x-id=PutObject&{subresource}=1",
            f"a=b&{subresource}&list-type",
        ):
            row = resolve(call(method, f"{target}?{query}"))
            assert row.name not in PLAIN, f"{method} {target}?{query}"


async def test_put_with_unknown_subresource_leaves_the_object_alone():
    of = service()
    for query in ("policy", "uploads", "torrent", "acl&tagging", "versionId=1", "partNumber=1", "uploadId=1"):
        asking = call("PUT", f"/bucket/key?{query}", b"data")
        with pytest.raises(S3Error):
            await resolve(asking).run(of, asking)
        assert not asking.body.started


@pytest.mark.parametrize("query", ["x-id=ListObjects", "ACL", "cache-buster=5", "id=7", "X-Amz-Signature=0", "acls"])
def test_parameters_that_s3_does_not_know_are_ignored(query):
    assert name_of("GET", f"/bucket?{query}") == "ListObjects"


PRESIGNED = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=0"


@pytest.mark.parametrize("name", ["x-amz-copy-source", "X-Amz-Copy-Source"])
def test_a_presigned_copy_is_a_copy(name):
    assert name_of("PUT", f"/bucket/key?{PRESIGNED}&{name}=other/key") == "CopyObject"
    assert name_of("PUT", f"/bucket/key?{name}=other/key") == "PutObject"  # not signed as a header


async def test_presigned_requests_carry_headers_as_parameters():
    of = await bucket(service())
    query = f"{PRESIGNED}&x-amz-meta-Colour=red&x-amz-meta-size=1&x-amz-checksum-crc32=AAAAAA=="
    asking = call("PUT", f"/bucket/key?{query}&x-amz-sdk-checksum-algorithm=CRC32", b"data", headers={META: "2"})
    await resolve(asking).run(of, asking)
    assert (await of.storage.head(Address("bucket", "key"))).metadata == {"colour": "red", "size": "2"}


@pytest.mark.parametrize("query", ["", "Signature=0&Expires=1&AWSAccessKeyId=A&"])
async def test_other_requests_do_not_carry_headers_as_parameters(query):
    of = await bucket(service())
    asking = call("PUT", f"/bucket/key?{query}{META}=1&x-amz-server-side-encryption=AES256", b"data")
    await resolve(asking).run(of, asking)
    assert (await of.storage.head(Address("bucket", "key"))).metadata == {}


@pytest.mark.parametrize("value", ["%0D%0ASet-Cookie:a", "%00", "a%0Ab", "%7F"])
async def test_a_parameter_cannot_bring_what_would_end_a_header(value):
    error = await refusal("PUT", f"/bucket/key?{PRESIGNED}&x-amz-website-redirect-location=/{value}")
    assert isinstance(error, InvalidArgument)


async def test_what_is_not_done_is_refused_in_presigned_requests_too():
    error = await refusal("PUT", f"/bucket/key?{PRESIGNED}&X-Amz-Server-Side-Encryption=AES256")
    assert isinstance(error, NotImplementedByGateway)


def test_an_encoded_subresource_is_seen():
    assert name_of("PUT", "/bucket?%61cl") == "PutBucketAcl"


async def refusal(method: str, target: str, **options) -> S3Error:
    asking = call(method, target, **options)
    with pytest.raises(S3Error) as caught:
        await resolve(asking).run(service(), asking)
    return caught.value


async def test_methods_that_s3_does_not_allow_are_told_with_those_that_it_does():
    error = await refusal("PUT", "/")
    assert isinstance(error, MethodNotAllowed)
    assert error.fields == {"Method": "PUT", "ResourceType": "SERVICE"}
    assert error.headers == {"Allow": "GET"}
    error = await refusal("DELETE", "/bucket/key?acl&versionId=null")
    assert isinstance(error, MethodNotAllowed)
    assert error.headers == {"Allow": "GET, PUT"}
    assert isinstance(await refusal("PATCH", "/bucket"), MethodNotAllowed)
    assert isinstance(await refusal("POST", "/bucket/key"), MethodNotAllowed)


async def test_subresources_that_exclude_each_other_are_told():
    error = await refusal("GET", "/bucket?policy&acl")
    assert isinstance(error, InvalidArgument)
    assert str(error) == "Conflicting query string parameters: acl, policy"


async def test_a_version_where_none_is_meant_is_refused():
    assert isinstance(await refusal("PUT", "/bucket/key?versionId=null"), InvalidArgument)


async def test_refused_operations_say_so_by_name_and_read_nothing():
    asking = call("PUT", "/bucket?policy", b"{}")
    with pytest.raises(NotImplementedByGateway) as caught:
        await resolve(asking).run(service(), asking)
    assert caught.value.fields == {"Operation": "PutBucketPolicy"}
    assert not asking.body.started


async def test_who_signs_nothing_is_not_told_what_is_implemented():
    assert (await refusal("GET", "/bucket?policy", caller=ANYBODY)).code == "AccessDenied"


def test_a_form_is_posted_to_a_bucket():
    assert name_of("POST", "/bucket") == name_of("POST", "/bucket/?x-id=any") == "PostObject"
    assert name_of("POST", "/bucket/key") == "Unsupported"
