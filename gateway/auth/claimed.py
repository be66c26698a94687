"""Who a request says it is from, proven or not: for the log, which tells who was not believed."""

import re
from typing import Final

from gateway.message import Call

# As ids may be in the configuration: what has other characters, a secret that was taken for its id, is not repeated.
_ID: Final = r"([A-Za-z0-9._-]{1,128})"
_V4: Final = re.compile(rf"AWS4-[A-Z0-9-]+ .*?Credential={_ID}/[0-9]{{8}}/")
_V2: Final = re.compile(rf"AWS {_ID}:")
_SCOPED: Final = re.compile(rf"{_ID}/[0-9]{{8}}/")
_ALONE: Final = re.compile(_ID)


def claimed_key(call: Call) -> str:
    """Return the access key id that a request names, "" where it names none that could be one."""
    form = call.form or {}
    for pattern, text in (
        (_V4, call.headers.get("authorization")),
        (_V2, call.headers.get("authorization")),
        (_SCOPED, call.query.get("X-Amz-Credential", "")),
        (_ALONE, call.query.get("AWSAccessKeyId", "")),
        (_SCOPED, form.get("x-amz-credential", "")),
        (_ALONE, form.get("awsaccesskeyid", "")),
    ):
        found = pattern.match(text) if pattern is not _ALONE else pattern.fullmatch(text)
        if found:
            return found[1]
    return ""
