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
    delete_conditions: bool = False  # If-Match of DeleteObject
    copy_conditions: str | None = None  # what stands before If-Match of the destination of a copy
    pins_copies: bool = False  # honours x-amz-copy-source-if-match
    pins_part_copies: bool = False
    part_reads: bool = False  # GET and HEAD ?partNumber=
    attributes: bool = False  # GetObjectAttributes
    completion_size: bool = False  # x-amz-mp-object-size
    redirects: bool = True  # x-amz-website-redirect-location
    equal_parts: bool = False  # all parts of an upload but the last are of one size
    normalized_keys: bool = False  # keys that differ only in Unicode's normalisation are one object
    largest_put: int = LARGEST_PUT


_BOTH: Final = frozenset({"if-match", "if-none-match"})

AWS: Final = Dialect(
    name="aws",
    hosts=("amazonaws.com", "amazonaws.com.cn"),
    virtual_hosts=True,  # https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
    checksums=frozenset(ALGORITHMS),
    default_checksum="CRC64NVME",
    trailers=True,
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-requests.html
    write_conditions=_BOTH,
    delete_conditions=True,
    copy_conditions="",
    pins_copies=True,
    pins_part_copies=True,
    part_reads=True,
    attributes=True,
    completion_size=True,
)

R2: Final = Dialect(
    name="r2",
    hosts=("r2.cloudflarestorage.com",),
    region="auto",  # https://developers.cloudflare.com/r2/api/s3/api/#bucket-region
    # Types of checksums are limited (CRC64NVME of wholes, the others of parts only) and trailers were refused as
    # Unauthorized as late as 2026-08 (github.com/amd/gaia/issues/3029), so the checksum stands in the metadata.
    write_conditions=_BOTH,  # https://developers.cloudflare.com/r2/api/s3/api/#object-level-operations
    matches_absent_etag=True,
    copy_conditions="cf-copy-destination-",  # https://developers.cloudflare.com/r2/api/s3/extensions/
    pins_copies=True,
    pins_part_copies=False,  # UploadPartCopy has no conditions: https://developers.cloudflare.com/r2/api/s3/api/
    part_reads=True,
    redirects=False,  # answers 501: https://developers.cloudflare.com/r2/api/s3/api/
    equal_parts=True,  # https://developers.cloudflare.com/r2/objects/multipart-objects/
    normalized_keys=True,  # https://developers.cloudflare.com/r2/reference/unicode-interoperability/
    largest_put=LARGEST_PUT - 5 * 1024**2,  # 4.995 GiB: https://developers.cloudflare.com/r2/platform/limits/
)

MINIO: Final = Dialect(
    name="minio",
    # https://docs.min.io/enterprise/aistor-object-store/developers/s3-api-compatibility/
    checksums=frozenset(ALGORITHMS),
    trailers=True,
    write_conditions=_BOTH,
    matches_absent_etag=True,
    pins_copies=True,
    pins_part_copies=True,
    part_reads=True,
    attributes=True,
    redirects=False,  # not kept: github.com/minio/minio/blob/master/docs/minio-limits.md
)

CEPH: Final = Dialect(
    name="ceph",
    # Measured on radosgw 16: If-None-Match with * holds, a right If-Match is answered 412, the conditions of a copy's
    # source are ignored, checksums, trailers and partNumber are not known. Later releases know more.
    # https://docs.ceph.com/en/latest/radosgw/s3/
    write_conditions=frozenset({"if-none-match"}),
)

GCS: Final = Dialect(
    name="gcs",
    hosts=("storage.googleapis.com",),
    region="auto",
    # x-amz-checksum-* on PutObject is refused as ExcessHeaderValues (github.com/milvus-io/milvus-storage/issues/480);
    # If-Match of writes is reported as ignored (github.com/aws/aws-sdk-java-v2/issues/6055): use the type gcs instead.
    # https://cloud.google.com/storage/docs/interoperability
    redirects=False,
)

B2: Final = Dialect(
    name="b2",
    hosts=("backblazeb2.com",),
    # Unknown checksum headers are refused (github.com/home-assistant/core/issues/143995), conditions of writes are
    # not known (github.com/hashicorp/terraform/issues/37143).
    # https://www.backblaze.com/docs/cloud-storage-s3-compatible-api
    redirects=False,
)

GENERIC: Final = Dialect(name="generic")

DIALECTS: Final[Mapping[str, Dialect]] = MappingProxyType(
    {dialect.name: dialect for dialect in (AWS, R2, MINIO, CEPH, GCS, B2, GENERIC)}
)


def dialect_of(host: str) -> Dialect:
    """Return the dialect of a host by its name, the generic one where that tells nothing."""
    name = host.rpartition("@")[2].partition(":")[0]
    for dialect in DIALECTS.values():
        if any(name == end or name.endswith(f".{end}") for end in dialect.hosts):
            return dialect
    return GENERIC
