"""What is kept beside the bytes of an object: S3's system-defined and user-defined metadata.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
"""

import re
from base64 import b64encode
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from gateway.errors import InvalidArgument, MetadataTooLarge
from gateway.message import Call

METADATA: Final = "x-amz-meta-"
METADATA_LIMIT: Final = 2048
REDIRECT: Final = "x-amz-website-redirect-location"
OCTETS: Final = "binary/octet-stream"  # what S3 says of an object whose sender named no type
_TOKEN: Final = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]*")  # RFC 9110 §5.6.2, in lower case
STORED: Final[Mapping[str, str]] = MappingProxyType(
    {
        name.lower(): name
        for name in (
            "Cache-Control",
            "Content-Disposition",
            "Content-Encoding",
            "Content-Language",
            "Content-Type",
            "Expires",
            REDIRECT,
        )
    }
)


def stored_headers(call: Call) -> dict[str, str]:
    """Return the headers that are kept with an object and given back with it."""
    stored = {name: call.headers[name] for name in STORED if call.headers.get(name)}
    stored.setdefault("content-type", OCTETS)
    if "content-encoding" in stored:
        _remove_framing(stored)
    if REDIRECT in stored and not stored[REDIRECT].startswith(("/", "http://", "https://")):
        raise InvalidArgument("The website redirect location must have a prefix of 'http://' or 'https://' or '/'.")
    return stored


def user_metadata(call: Call) -> dict[str, str]:
    """Return the metadata of the client's own; a name given twice has its values joined by a comma.

    Raises: MetadataTooLarge, InvalidArgument (a name that is none, from the query of a presigned URL).
    """
    metadata: dict[str, str] = {}
    for name, value in call.headers.pairs:
        if name.startswith(METADATA):
            key = _metadata_name(name)
            metadata[key] = f"{metadata[key]},{value}" if key in metadata else value
    size = sum(len(key.encode()) + len(value.encode()) for key, value in metadata.items())
    if size > METADATA_LIMIT:
        raise MetadataTooLarge(Size=str(size), MaxSizeAllowed=str(METADATA_LIMIT))
    return metadata


def mail_safe(value: str) -> str:
    """Write user metadata as a header: as it is where it is ASCII, else as S3 does, by RFC 2047."""
    if value.isascii() and value.isprintable():
        return value
    return f"=?UTF-8?B?{b64encode(value.encode()).decode()}?="


def _metadata_name(header: str) -> str:
    """Return the name of metadata. Raises InvalidArgument for one that could not be given back as a header."""
    name = header.removeprefix(METADATA)
    if not _TOKEN.fullmatch(name):
        raise InvalidArgument("A name of metadata must be one of a header.", ArgumentName=header)
    return name


def _remove_framing(stored: dict[str, str]) -> None:
    """Remove aws-chunked, which is an encoding of the way and not of the object."""
    codings = [coding.strip() for coding in stored.pop("content-encoding").split(",")]
    if kept := ", ".join(coding for coding in codings if coding and coding.lower() != "aws-chunked"):
        stored["content-encoding"] = kept
