"""Every document that is answered has the elements, and the kinds of values, that the model of S3 knows."""

import gzip
import json
from pathlib import Path

import botocore
import pytest
import xmltodict
from botocore.model import ServiceModel, Shape

from gateway.message import Answer
from gateway.operations import xml
from gateway.operations.table import resolve
from tests.operations.answers import as_botocore
from tests.operations.calls import bucket, call, service
from tests.operations.test_deleting import crc32

DESCRIPTION = json.loads(
    gzip.decompress((Path(botocore.__file__).parent / "data/s3/2006-03-01/service-2.json.gz").read_bytes())
)
MODEL = ServiceModel(DESCRIPTION)
KEYS = ["a", "b/1", "b/2", "c"]
DELETE = xml.document("Delete", {"Object": [{"Key": "a"}, {"Key": "b", "VersionId": "other"}]})
CALLS = [
    ("GET", "/"),
    ("GET", "/?max-buckets=1&prefix=b"),
    ("GET", "/bucket?location"),
    ("GET", "/bucket?versioning"),
    ("GET", "/bucket?acl"),
    ("GET", "/bucket/a?acl"),
    ("GET", "/bucket?delimiter=/&max-keys=2&encoding-type=url&marker=0"),
    ("GET", "/bucket?list-type=2&delimiter=/&max-keys=2&encoding-type=url&fetch-owner=true&start-after=0"),
    ("GET", "/bucket?versions&delimiter=/&max-keys=1&encoding-type=url"),
    ("POST", "/bucket?delete"),
]


async def answered(method: str, target: str) -> tuple[str, Answer]:
    of = await bucket(await bucket(service(region="eu-west-1", acls=["bucket"]), keys=KEYS), "bucket-2")
    data = DELETE if method == "POST" else b""
    asking = call(method, target, data, headers=crc32(data) if data else {})
    row = resolve(asking)
    return row.name, await row.run(of, asking)


def unknown(element: object, shape: Shape, path: str) -> list[str]:
    """Return the elements of a document that a shape of the model does not have."""
    if shape.type_name == "list" and not shape.serialization.get("flattened"):
        name = shape.member.serialization.get("name", "member")
        return _of_members(element, {name: shape.member}, path)
    if shape.type_name == "list":
        return unknown(element, shape.member, path)
    if shape.type_name != "structure":
        return []
    return _of_members(element, {m.serialization.get("name", name): m for name, m in shape.members.items()}, path)


def _of_members(element: object, members: dict[str, Shape], path: str) -> list[str]:
    found = []
    for name, value in element.items() if isinstance(element, dict) else ():
        if name.startswith(("@", "#")):
            continue
        if name not in members:
            found.append(f"{path}/{name}")
            continue
        for one in value if isinstance(value, list) else [value]:
            found += unknown(one, members[name], f"{path}/{name}")
    return found


@pytest.mark.parametrize(("method", "target"), CALLS)
async def test_answers_have_no_element_that_the_model_does_not_know(method, target):
    name, answer = await answered(method, target)
    shape = MODEL.operation_model(name).output_shape
    (root,) = xmltodict.parse(answer.content).values()
    if name != "GetBucketLocation":  # its document is a text, which the model knows as a member
        assert not unknown(root, shape, name)


@pytest.mark.parametrize(("method", "target"), CALLS)
async def test_answers_are_read_by_an_sdk(method, target):
    name, answer = await answered(method, target)
    assert answer.headers["Content-Type"] == "application/xml"
    parsed = as_botocore(name, answer)
    expected = {
        "ListBuckets": lambda: parsed["Buckets"][0]["Name"] == "bucket" and parsed["Owner"]["ID"] == "alice-id",
        "GetBucketLocation": lambda: b">eu-west-1</LocationConstraint>" in answer.content,  # not by the parser
        "GetBucketVersioning": lambda: "Status" not in parsed,
        "GetBucketAcl": lambda: parsed["Grants"][0]["Grantee"] == {"ID": "alice-id", "Type": "CanonicalUser"},
        "GetObjectAcl": lambda: parsed["Grants"][0]["Permission"] == "FULL_CONTROL",
        "ListObjects": lambda: parsed["NextMarker"] == "b/" and parsed["Contents"][0]["Owner"]["ID"] == "alice-id",
        "ListObjectsV2": lambda: parsed["KeyCount"] == 2 and parsed["CommonPrefixes"] == [{"Prefix": "b/"}],
        "ListObjectVersions": lambda: parsed["Versions"][0]["IsLatest"] is True and parsed["IsTruncated"] is True,
        "DeleteObjects": lambda: parsed["Deleted"] == [{"Key": "a"}] and parsed["Errors"][0]["Code"] == "NoSuchVersion",
    }
    assert expected[name](), parsed
