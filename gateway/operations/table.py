"""Which operation a call is: one row per operation of S3, which is also the list of what we support.

The subresources of a call are compared with a row's as a set, for equality, so that `PUT /bucket/key?acl` never becomes
a PutObject. Parameters that S3 does not know are ignored, as S3 does.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import chain, combinations
from types import MappingProxyType
from typing import Final

from gateway.errors import InvalidArgument, MethodNotAllowed, NotImplementedByGateway, S3Error
from gateway.message import Answer, Call
from gateway.operations import (
    acl,
    attributes,
    buckets,
    completing,
    copying,
    cors,
    deleting,
    listing,
    multipart,
    objects,
    posting,
    tagging,
)
from gateway.operations.presigned import carried
from gateway.operations.row import NOTHING, Function, Operation, Scope, words
from gateway.operations.service import Service
from gateway.operations.unsupported import UNSUPPORTED


def _service(name: str, method: str, verb: str, function: Function) -> Operation:
    return Operation(name, method, Scope.SERVICE, NOTHING, verb, function)


def _bucket(name: str, method: str, selector: str, verb: str, function: Function) -> Operation:
    subresources, _, needs = selector.partition("+")
    return Operation(name, method, Scope.BUCKET, words(subresources), verb, function, NOTHING, words(needs))


def _object(name: str, method: str, selector: str, verb: str, function: Function) -> Operation:
    """`selector` is as in "uploadId partNumber | optional + needed header"."""
    selector, _, needs = selector.partition("+")
    subresources, _, optional = selector.partition("|")
    return Operation(name, method, Scope.OBJECT, words(subresources), verb, function, words(optional), words(needs))


POST_OBJECT: Final = _bucket("PostObject", "POST", "", "write", posting.post_object)  # its key is in the body
SUPPORTED: Final[Sequence[Operation]] = (
    _service("ListBuckets", "GET", "", buckets.list_buckets),
    _bucket("CreateBucket", "PUT", "", "", buckets.create_bucket),
    _bucket("HeadBucket", "HEAD", "", "list", buckets.head_bucket),
    _bucket("DeleteBucket", "DELETE", "", "admin", buckets.delete_bucket),
    _bucket("GetBucketLocation", "GET", "location", "list", buckets.get_bucket_location),
    _bucket("GetBucketVersioning", "GET", "versioning", "list", buckets.get_bucket_versioning),
    _bucket("GetBucketCors", "GET", "cors", "admin", cors.get_bucket_cors),
    _bucket("GetBucketAcl", "GET", "acl", "admin", acl.get_bucket_acl),
    _bucket("PutBucketAcl", "PUT", "acl", "admin", acl.put_bucket_acl),
    _bucket("ListObjects", "GET", "", "", listing.list_objects),
    _bucket("ListObjectsV2", "GET", "+ list-type", "", listing.list_objects_v2),
    _bucket("ListObjectVersions", "GET", "versions", "", listing.list_object_versions),
    _bucket("DeleteObjects", "POST", "delete", "", deleting.delete_objects),
    _object("PutObject", "PUT", "", "write", objects.put_object),
    POST_OBJECT,
    _object("GetObject", "GET", "| versionId partNumber", "read", objects.get_object),
    _object("HeadObject", "HEAD", "| versionId partNumber", "read", objects.head_object),
    _object("GetObjectAttributes", "GET", "attributes | versionId", "read", attributes.get_object_attributes),
    _object("CopyObject", "PUT", "+ x-amz-copy-source", "write", copying.copy_object),
    _object("DeleteObject", "DELETE", "| versionId", "delete", objects.delete_object),
    _object("CreateMultipartUpload", "POST", "uploads", "write", multipart.create_multipart_upload),
    _object("UploadPart", "PUT", "uploadId partNumber", "write", multipart.upload_part),
    _object("UploadPartCopy", "PUT", "uploadId partNumber + x-amz-copy-source", "write", copying.upload_part_copy),
    _object("ListParts", "GET", "uploadId", "write", multipart.list_parts),
    _object("CompleteMultipartUpload", "POST", "uploadId", "write", completing.complete_multipart_upload),
    _object("AbortMultipartUpload", "DELETE", "uploadId", "write", multipart.abort_multipart_upload),
    _bucket("ListMultipartUploads", "GET", "uploads", "", multipart.list_multipart_uploads),
    _object("GetObjectTagging", "GET", "tagging | versionId", "read", tagging.get_object_tagging),
    _object("GetObjectAcl", "GET", "acl | versionId", "admin", acl.get_object_acl),
    _object("PutObjectAcl", "PUT", "acl | versionId", "admin", acl.put_object_acl),
)


def resolve(call: Call) -> Operation:
    """Return the row of a call. What is not served resolves to a row that refuses it; nothing is raised here."""
    scope = Scope.OBJECT if call.key else Scope.BUCKET if call.bucket else Scope.SERVICE
    asked = SUBRESOURCES.intersection(call.query) if call.query else NOTHING
    for row in _ROWS.get((call.method, scope, asked), ()):
        if not row.needs or all(_has(call, need) for need in row.needs):
            return row
    return PREFLIGHT if call.method == "OPTIONS" else NO_OPERATION


def _has(call: Call, need: str) -> bool:
    if need.startswith("x-amz-"):
        return need in call.headers or need in carried(call.query)
    return need in call.query


async def _refuse_unknown(_service: Service, call: Call) -> Answer:
    raise _refusal(call)


def _refusal(call: Call) -> S3Error:
    """Say in S3's words why a call is no operation."""
    scope = Scope.OBJECT if call.key else Scope.BUCKET if call.bucket else Scope.SERVICE
    asked = SUBRESOURCES.intersection(call.query)
    if "versionId" in asked and (call.method, scope, asked - {"versionId"}) in _ROWS:
        wrong, version = "This operation does not accept a version-id.", call.query["versionId"]
        return InvalidArgument(wrong, ArgumentName="versionId", ArgumentValue=version)
    if methods := sorted(method for method, where, what in _ROWS if (where, what) == (scope, asked)):
        kind = " ".join(sorted(asked)).upper() or scope
        error = MethodNotAllowed(Method=call.method, ResourceType=kind)
        error.headers = {"Allow": ", ".join(methods)}
        return error
    if len(asked - {"versionId"}) > 1:
        names = ", ".join(sorted(asked))
        return InvalidArgument(f"Conflicting query string parameters: {names}", ArgumentName="ResourceType")
    return NotImplementedByGateway(QueryParameter=", ".join(sorted(asked)))


PREFLIGHT: Final = Operation("OptionsObject", "OPTIONS", Scope.OBJECT, NOTHING, "", cors.preflight)
NO_OPERATION: Final = Operation("Unsupported", "", Scope.SERVICE, NOTHING, "", _refuse_unknown)
OPERATIONS: Final[Sequence[Operation]] = (*SUPPORTED, *UNSUPPORTED, PREFLIGHT, NO_OPERATION)
SUBRESOURCES: Final = frozenset().union(*(row.subresources | row.optional for row in OPERATIONS))


def _index() -> Mapping[tuple[str, Scope, frozenset[str]], Sequence[Operation]]:
    """Index rows by what is compared for equality; where several are left, the one that needs most comes first."""
    found: dict[tuple[str, Scope, frozenset[str]], list[Operation]] = defaultdict(list)
    for row in (*SUPPORTED, *UNSUPPORTED):
        for chosen in chain.from_iterable(combinations(row.optional, size) for size in range(len(row.optional) + 1)):
            found[row.method, row.scope, row.subresources | frozenset(chosen)].append(row)
    return MappingProxyType({key: tuple(sorted(rows, key=lambda row: -len(row.needs))) for key, rows in found.items()})


_ROWS: Final = _index()
