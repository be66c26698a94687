"""What the servers that speak S3 do each in their own way, as data; every oddity stands with its source."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from gateway.checksums import ALGORITHMS

LARGEST_PUT: Final = 5 * 1024**3  # bytes: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What a server knows. The defaults are what every S3 server can be trusted with."""

    name: str
    hosts: tuple[str, ...] = ()  # the ends of host names by which it is known
    region: str = "us-east-1"
    virtual_hosts: bool = False  # addresses buckets as hosts where nothing else is said
    checksums: frozenset[str] = frozenset()  # kept by x-amz-checksum-*, told with x-amz-checksum-mode
    default_checksum: str | None = None  # kept of every object, asked for or not
    trailers: bool = False  # takes a checksum behind the body, as STREAMING-UNSIGNED-PAYLOAD-TRAILER
    etag_is_md5: bool = True  # of an object that was put at once and is not encrypted with a key of KMS
    write_conditions: frozenset[str] = frozenset()  # of PutObject and CompleteMultipartUpload, atomically
    matches_absent_etag: bool = False  # knows If-None-Match with an ETag on writes, not only with *
    completion_conditions: bool = False  # those of writes hold for CompleteMultipartUpload too
    bare_etags: bool = False  # wants the ETags of writes without quotes
    etag_lists: bool = False  # knows several ETags in one condition, and * on reads
    delete_conditions: bool = False  # If-Match of DeleteObject
    copy_conditions: str | None = None  # what stands before If-Match of the destination of a copy
    copy_pins: tuple[str, ...] = ()  # the headers that hold a copy to one version of its source
    copies_in_place: bool = False  # a copy onto itself leaves ETag and parts as they are
    pins_part_copies: bool = False
    part_reads: bool = False  # GET and HEAD ?partNumber=
    attributes: bool = False  # GetObjectAttributes
    completion_size: bool = False  # x-amz-mp-object-size
    redirects: bool = True  # x-amz-website-redirect-location
    equal_parts: bool = False  # all parts of an upload but the last are of one size
    normalized_keys: bool = False  # keys that differ only in Unicode's normalisation are one object
    largest_put: int = LARGEST_PUT


# Those that S3 had before 2026; other servers know no others yet.
_OLDER: Final = frozenset({"CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"})
COPY_PIN: Final = "x-amz-copy-source-if-match"  # S3's own
_BOTH: Final = frozenset({"if-match", "if-none-match"})

AWS: Final = Dialect(
    name="aws",
    hosts=("amazonaws.com", "amazonaws.com.cn"),
    virtual_hosts=True,  # https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
    checksums=frozenset(ALGORITHMS),
    default_checksum="CRC64NVME",
    trailers=True,  # https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html, among which copies
    write_conditions=_BOTH,
    completion_conditions=True,
    etag_lists=True,  # of reads, as RFC 9110 has it; of writes, a list that is not understood does not match
    delete_conditions=True,  # https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-deletes.html
    copy_conditions="",
    copy_pins=(COPY_PIN,),  # https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
    pins_part_copies=True,  # https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPartCopy.html
    part_reads=True,  # https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
    attributes=True,  # https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectAttributes.html
    completion_size=True,  # https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html
)

R2: Final = Dialect(
    name="r2",
    hosts=("r2.cloudflarestorage.com",),
    region="auto",  # https://developers.cloudflare.com/r2/api/s3/api/#bucket-region
    # CRC64NVME is known of wholes only, the others of parts only (https://developers.cloudflare.com/r2/api/s3/api/
    # #checksum-types), and trailers were refused as Unauthorized as late as 2026-08 (github.com/amd/gaia/issues/3029):
    # the checksum stands in the metadata.
    # https://developers.cloudflare.com/r2/api/s3/conditional-operations/: of PutObject and CompleteMultipartUpload,
    # with any ETag and several of them. Deletions are not among them.
    write_conditions=_BOTH,
    matches_absent_etag=True,
    completion_conditions=True,
    etag_lists=True,
    copy_conditions="cf-copy-destination-",  # https://developers.cloudflare.com/r2/api/s3/extensions/
    copy_pins=(COPY_PIN,),
    pins_part_copies=False,  # UploadPartCopy has no conditions: https://developers.cloudflare.com/r2/api/s3/api/
    part_reads=True,  # https://developers.cloudflare.com/r2/api/s3/api/#object-level-operations
    redirects=False,  # answers 501: https://developers.cloudflare.com/r2/api/s3/api/
    equal_parts=True,  # https://developers.cloudflare.com/r2/objects/multipart-objects/
    normalized_keys=True,  # https://developers.cloudflare.com/r2/reference/unicode-interoperability/
    largest_put=LARGEST_PUT - 5 * 1024**2,  # 4.995 GiB: https://developers.cloudflare.com/r2/platform/limits/
)

# The files are those of github.com/minio/minio at 7aac2a2c, of 2026-02, the last state of its community edition.
MINIO: Final = Dialect(
    name="minio",
    checksums=_OLDER,  # internal/hash/checksum.go: BaseChecksumTypes
    trailers=True,  # internal/hash/checksum.go: ChecksumTrailing
    # cmd/object-handlers-common.go: checkPreconditionsPUT, called under the lock of the object, at completion too. Two
    # ETags are compared as one text, so that If-None-Match with a list would always hold. Before 2025-09 (07c3a429b)
    # If-Match wrote where there was nothing.
    write_conditions=_BOTH,
    matches_absent_etag=True,
    completion_conditions=True,
    # Deletions and destinations of copies have no conditions: they are looked at nowhere in cmd/object-handlers.go.
    copy_pins=(COPY_PIN,),  # cmd/object-handlers-common.go: checkCopyObjectPreconditions
    pins_part_copies=True,  # cmd/object-handlers-common.go: checkCopyObjectPartPreconditions
    part_reads=True,  # cmd/object-handlers-common.go: checkPreconditions
    attributes=True,  # cmd/api-router.go: GetObjectAttributes
    redirects=False,  # not among the headers that are kept: cmd/handler-utils.go, supportedHeaders
)

# Measured on radosgw 16.2.15 by tests/ceph; checksums, trailers and partNumber are not known there.
CEPH: Final = Dialect(
    name="ceph",
    # ETags are compared without unquoting them (also github.com/slatedb/slatedb/issues/1818, 2026), and one by one.
    write_conditions=_BOTH,
    matches_absent_etag=True,
    bare_etags=True,
    # Completions drop conditions, and so do deletions and destinations of copies.
    # Ceph's own name of the condition: https://docs.ceph.com/en/latest/radosgw/s3/objectops/#copy-object. S3's name is
    # ignored (github.com/ceph/ceph/pull/30866), and of copies of parts both are.
    copy_pins=(COPY_PIN, "x-amz-copy-if-match"),
    copies_in_place=True,
)

GCS: Final = Dialect(
    name="gcs",
    hosts=("storage.googleapis.com",),
    region="auto",
    # x-amz-checksum-* on PutObject is refused as ExcessHeaderValues (github.com/milvus-io/milvus-storage/issues/480).
    # If-Match and If-None-Match are for reads only, writes know generations instead, which this type does not:
    # https://cloud.google.com/storage/docs/request-preconditions. Use the type gcs.
    # https://cloud.google.com/storage/docs/interoperability
    redirects=False,
)

B2: Final = Dialect(
    name="b2",
    hosts=("backblazeb2.com",),
    # All headers of checksums are refused, those of reads too (github.com/home-assistant/core/issues/143995,
    # github.com/vatesfr/xen-orchestra/issues/8358), and so are conditions of writes, as NotImplemented
    # (github.com/sathinduga/obsidian-s3-sync-and-backup/issues/78, 2026-07).
    # https://www.backblaze.com/docs/cloud-storage-s3-compatible-api
    redirects=False,
)

# Measured on moto 5.2 (https://docs.getmoto.org), a server for tests: it checks no checksum, keeps none that stands in
# a header, and ignores conditions of copies and the If-Match of a completion.
MOTO: Final = Dialect(name="moto", write_conditions=_BOTH, delete_conditions=True)

GENERIC: Final = Dialect(name="generic")

DIALECTS: Final[Mapping[str, Dialect]] = MappingProxyType(
    {dialect.name: dialect for dialect in (AWS, R2, MINIO, CEPH, GCS, B2, MOTO, GENERIC)}
)


def dialect_of(host: str, said: str = "auto") -> Dialect:
    """Return the dialect that is said, or with `auto` that of a host: the generic one where its name tells nothing."""
    if said != "auto":
        return DIALECTS[said]
    name = host.rpartition("@")[2].partition(":")[0]
    for dialect in DIALECTS.values():
        if any(name == end or name.endswith(f".{end}") for end in dialect.hosts):
            return dialect
    return GENERIC
