"""The operations of S3 that are refused, by name, so that none of them is ever taken for a plain one."""

from collections.abc import Mapping
from typing import Final

from gateway.errors import AccessDenied, NotImplementedByGateway
from gateway.message import Answer, Call
from gateway.operations.row import NOTHING, Function, Operation, Scope, words
from gateway.operations.service import Service

# name: the subresources that select it, behind "+" what it needs beside them
_BUCKET: Final[Mapping[str, Mapping[str, str]]] = {
    "DELETE": {
        "DeleteBucketAnalyticsConfiguration": "analytics",
        "DeleteBucketCors": "cors",
        "DeleteBucketEncryption": "encryption",
        "DeleteBucketIntelligentTieringConfiguration": "intelligent-tiering",
        "DeleteBucketInventoryConfiguration": "inventory",
        "DeleteBucketLifecycle": "lifecycle",
        "DeleteBucketMetadataConfiguration": "metadataConfiguration",
        "DeleteBucketMetadataTableConfiguration": "metadataTable",
        "DeleteBucketMetricsConfiguration": "metrics",
        "DeleteBucketOwnershipControls": "ownershipControls",
        "DeleteBucketPolicy": "policy",
        "DeleteBucketReplication": "replication",
        "DeleteBucketTagging": "tagging",
        "DeleteBucketWebsite": "website",
        "DeletePublicAccessBlock": "publicAccessBlock",
    },
    "GET": {
        "CreateSession": "session",
        "GetBucketAbac": "abac",
        "GetBucketAccelerateConfiguration": "accelerate",
        "GetBucketAnalyticsConfiguration": "analytics + id",
        "GetBucketEncryption": "encryption",
        "GetBucketIntelligentTieringConfiguration": "intelligent-tiering + id",
        "GetBucketInventoryConfiguration": "inventory + id",
        "GetBucketLifecycleConfiguration": "lifecycle",
        "GetBucketLogging": "logging",
        "GetBucketMetadataConfiguration": "metadataConfiguration",
        "GetBucketMetadataTableConfiguration": "metadataTable",
        "GetBucketMetricsConfiguration": "metrics + id",
        "GetBucketNotificationConfiguration": "notification",
        "GetBucketOwnershipControls": "ownershipControls",
        "GetBucketPolicy": "policy",
        "GetBucketPolicyStatus": "policyStatus",
        "GetBucketReplication": "replication",
        "GetBucketRequestPayment": "requestPayment",
        "GetBucketTagging": "tagging",
        "GetBucketWebsite": "website",
        "GetObjectLockConfiguration": "object-lock",
        "GetPublicAccessBlock": "publicAccessBlock",
        "ListBucketAnalyticsConfigurations": "analytics",
        "ListBucketIntelligentTieringConfigurations": "intelligent-tiering",
        "ListBucketInventoryConfigurations": "inventory",
        "ListBucketMetricsConfigurations": "metrics",
    },
    "POST": {
        "CreateBucketMetadataConfiguration": "metadataConfiguration",
        "CreateBucketMetadataTableConfiguration": "metadataTable",
        "WriteGetObjectResponse": "+ x-amz-request-route",
    },
    "PUT": {
        "PutBucketAbac": "abac",
        "PutBucketAccelerateConfiguration": "accelerate",
        "PutBucketAnalyticsConfiguration": "analytics",
        "PutBucketCors": "cors",
        "PutBucketEncryption": "encryption",
        "PutBucketIntelligentTieringConfiguration": "intelligent-tiering",
        "PutBucketInventoryConfiguration": "inventory",
        "PutBucketLifecycleConfiguration": "lifecycle",
        "PutBucketLogging": "logging",
        "PutBucketMetricsConfiguration": "metrics",
        "PutBucketNotificationConfiguration": "notification",
        "PutBucketOwnershipControls": "ownershipControls",
        "PutBucketPolicy": "policy",
        "PutBucketReplication": "replication",
        "PutBucketRequestPayment": "requestPayment",
        "PutBucketTagging": "tagging",
        "PutBucketVersioning": "versioning",
        "PutBucketWebsite": "website",
        "PutObjectLockConfiguration": "object-lock",
        "PutPublicAccessBlock": "publicAccessBlock",
        "UpdateBucketMetadataAnnotationTableConfiguration": "metadataAnnotationTable",
        "UpdateBucketMetadataInventoryTableConfiguration": "metadataInventoryTable",
        "UpdateBucketMetadataJournalTableConfiguration": "metadataJournalTable",
    },
}
_OBJECT: Final[Mapping[str, Mapping[str, str]]] = {
    "DELETE": {
        "DeleteObjectAnnotation": "annotation",
        "DeleteObjectTagging": "tagging",
    },
    "GET": {
        "GetObjectAnnotation": "annotation + annotationName",
        "GetObjectLegalHold": "legal-hold",
        "GetObjectRetention": "retention",
        "GetObjectTorrent": "torrent",
        "ListObjectAnnotations": "annotation",
    },
    "POST": {
        "RestoreObject": "restore",
        "SelectObjectContent": "select",
    },
    "PUT": {
        "PutObjectAnnotation": "annotation",
        "PutObjectLegalHold": "legal-hold",
        "PutObjectRetention": "retention",
        "PutObjectTagging": "tagging",
        "RenameObject": "renameObject",
        "UpdateObjectEncryption": "encryption",
    },
}
_SERVICE: Final[Mapping[str, Mapping[str, str]]] = {"GET": {"ListDirectoryBuckets": "+ max-directory-buckets"}}


def _refusing(name: str) -> Function:
    async def refuse(_service: Service, call: Call) -> Answer:
        if call.caller is None or call.caller.anonymous:
            raise AccessDenied
        raise NotImplementedByGateway(Operation=name)

    return refuse


def _row(name: str, method: str, scope: Scope, selector: str) -> Operation:
    subresources, _, needs = selector.partition("+")
    optional = words("versionId") if scope is Scope.OBJECT else NOTHING
    return Operation(name, method, scope, words(subresources), "", _refusing(name), optional, words(needs))


UNSUPPORTED: Final = tuple(
    _row(name, method, scope, selector)
    for scope, methods in ((Scope.SERVICE, _SERVICE), (Scope.BUCKET, _BUCKET), (Scope.OBJECT, _OBJECT))
    for method, names in methods.items()
    for name, selector in names.items()
)
