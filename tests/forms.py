"""Forms as browsers send them, and signed as botocore signs them."""

from collections.abc import Mapping, Sequence
from typing import Any

import boto3
from botocore.config import Config

BOUNDARY = "----WebKitFormBoundary7MA4YWxkTrZu0gW"
TYPE = f"multipart/form-data; boundary={BOUNDARY}"


def encoded(
    fields: Mapping[str, str] | Sequence[tuple[str, str]],
    file: bytes | None = b"bytes",
    filename: str | None = "cat.jpg",
    *,
    after: Sequence[tuple[str, str]] = (),
) -> bytes:
    """Return a form that holds the fields, then the file unless that is None, then what comes `after` it."""
    pairs = list(fields.items() if isinstance(fields, Mapping) else fields)
    parts = [part(name, value.encode()) for name, value in pairs]
    if file is not None:
        parts.append(part("file", file, filename, "Content-Type: image/jpeg\r\n"))
    parts += [part(name, value.encode()) for name, value in after]
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def part(name: str, value: bytes, filename: str | None = None, more: str = "") -> bytes:
    of_file = "" if filename is None else f'; filename="{filename}"'
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{of_file}\r\n{more}\r\n'
    return head.encode() + value + b"\r\n"


def signed(  # noqa: PLR0913  what a form may be signed with, by name
    key: str,
    fields: Mapping[str, str] | None = None,
    conditions: Sequence[Any] = (),
    *,
    bucket: str = "bucket",
    version: str = "s3v4",
    access_key: str = "AKIAIOSFODNN7EXAMPLE",
    secret_key: str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    region: str = "us-east-1",
    expires: int = 3600,
) -> dict[str, str]:
    """Return the fields of a form that botocore signs; the fields given are allowed beside the `conditions`."""
    client = boto3.client(
        "s3",
        endpoint_url="http://127.0.0.1:9000",
        region_name=region,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        config=Config(signature_version=version, s3={"addressing_style": "path"}),
    )
    given = dict(fields or {})
    allowed = [*({name: value} for name, value in given.items()), *conditions]
    post = client.generate_presigned_post(bucket, key, Fields=given, Conditions=allowed, ExpiresIn=expires)
    return dict(post["fields"])
