"""Signature Version 2 as pure functions, for clients that presign with it by default.

https://docs.aws.amazon.com/AmazonS3/latest/API/RESTAuthentication.html
"""

import hmac
from base64 import b64encode
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, unquote_plus

from gateway.sigv4 import Credentials, Request, octets

SCHEME: Final = "AWS"
SUBRESOURCES: Final = frozenset(
    [
        "accelerate",
        "acl",
        "analytics",
        "cors",
        "defaultObjectAcl",
        "delete",
        "inventory",
        "lifecycle",
        "location",
        "logging",
        "metrics",
        "notification",
        "object-lock",
        "partNumber",
        "policy",
        "replication",
        "requestPayment",
        "restore",
        "select",
        "select-type",
        "storageClass",
        "tagging",
        "torrent",
        "uploadId",
        "uploads",
        "versionId",
        "versioning",
        "versions",
        "website",
        "response-cache-control",
        "response-content-disposition",
        "response-content-encoding",
        "response-content-language",
        "response-content-type",
        "response-expires",
    ]
)
"""The parameters that are signed: those of the page above, and those that have come since, as botocore knows them."""


def authorization(request: Request, credentials: Credentials) -> str:
    """Return the Authorization header; `request.path` begins with the bucket, also if that stands in the host."""
    return f"{SCHEME} {credentials.access_key}:{signature(credentials.secret_key, header_string(request))}"


def presigned_query(request: Request, credentials: Credentials, expires: int) -> str:
    """Return the query of a URL that is good until `expires`, in seconds since the epoch."""
    signed_by = signature(credentials.secret_key, query_string(request, str(expires)))
    added = f"AWSAccessKeyId={quote(credentials.access_key, safe='')}&Expires={expires}"
    added += f"&Signature={quote(signed_by, safe='')}"
    return f"{request.query}&{added}" if request.query else added


def header_string(request: Request) -> str:
    """Return the text that an Authorization header signs: Date counts only where there is no x-amz-date."""
    headers = request.headers
    date = "" if "x-amz-date" in headers else headers.get("date", "")
    return _text(request, date, {name: value for name, value in headers.items() if name.startswith("x-amz-")})


def query_string(request: Request, expires: str) -> str:
    """Return the text that a presigned URL signs. An x-amz- header may stand among the parameters instead."""
    amz = {
        name: unquote_plus(value).strip()
        for name, _, value in (parameter.partition("=") for parameter in request.query.split("&"))
        if name.startswith("x-amz-")
    }
    amz.update({name: value for name, value in request.headers.items() if name.startswith("x-amz-")})
    return _text(request, expires, amz)


def signature(secret_key: str, text: str) -> str:
    """Return the signature of a string to sign."""
    return b64encode(hmac.digest(octets(secret_key), octets(text), "sha1")).decode()


def _text(request: Request, date: str, amz: Mapping[str, str]) -> str:
    headers = request.headers
    md5, content_type = headers.get("content-md5", ""), headers.get("content-type", "")
    lines = "".join(f"{name}:{amz[name]}\n" for name in sorted(amz))
    return f"{request.method}\n{md5}\n{content_type}\n{date}\n{lines}{_resource(request)}"


def _resource(request: Request) -> str:
    named = []
    for parameter in request.query.split("&"):
        name, equals, value = parameter.partition("=")
        if name in SUBRESOURCES:
            named.append((name, f"{name}{equals}{unquote_plus(value)}"))
    named.sort(key=lambda pair: pair[0])
    return request.path + ("?" + "&".join(text for _, text in named) if named else "")
