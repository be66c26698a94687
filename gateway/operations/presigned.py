"""The headers that a presigned URL carries as parameters, because who uses it sends nothing but the URL and a body.

S3 takes them for the headers they stand for (https://github.com/aws/aws-sdk-js-v3/issues/4694), except checksums, which
SDKs compute of a body they do not have yet (https://github.com/localstack/localstack/issues/12169). The signature of
Version 4 covers every parameter; that of Version 2 does not, so there a parameter is no header.
"""

import re
from collections.abc import Mapping
from typing import Final

from gateway.errors import InvalidArgument
from gateway.message import Headers

_MARK: Final = "X-Amz-Algorithm"
_PREFIX: Final = "x-amz-"
_IGNORED: Final = ("x-amz-checksum-", "x-amz-sdk-")
_CONTROL: Final = re.compile("[\x00-\x08\x0a-\x1f\x7f]")


def carried(query: Mapping[str, str]) -> dict[str, str]:
    """Return the headers among the parameters, by lower-case name; none unless the URL is presigned by Version 4."""
    if _MARK not in query:
        return {}
    named = {name.lower(): value for name, value in query.items()}
    return {name: value for name, value in named.items() if name.startswith(_PREFIX) and not name.startswith(_IGNORED)}


def with_carried(headers: Headers, query: Mapping[str, str]) -> Headers:
    """Return the headers together with those that the parameters carry; one that was sent itself stands.

    Raises: InvalidArgument for a value that no header could have, and that would end one where it is given back.
    """
    if _MARK not in query:
        return headers
    further = [(name, value) for name, value in carried(query).items() if name not in headers]
    for name, value in further:
        refuse_control(name, value)
    return Headers([*headers.pairs, *further]) if further else headers


def refuse_control(name: str, value: str) -> None:
    """Raise InvalidArgument for a value that no header could have, and that would end one where it is given back."""
    if _CONTROL.search(value):
        raise InvalidArgument("Header value cannot hold control characters.", ArgumentName=name)
