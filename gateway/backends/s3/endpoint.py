"""Where a bucket is reached: its host and its path."""

import re
from typing import Final, NamedTuple
from urllib.parse import quote, urlsplit

from gateway.errors import InvalidBucketName

_LABEL: Final = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")  # a bucket that can be one label of a host name
_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")


class Endpoint(NamedTuple):
    """A server: `virtual` puts buckets that can be host names before its host, the others go into the path."""

    scheme: str
    host: str
    path: str
    virtual: bool

    def locate(self, bucket: str, key: str) -> tuple[str, str]:
        """Return host and encoded path. Raises InvalidBucketName for what could lead elsewhere."""
        if not bucket:
            return self.host, f"{self.path}/"
        if not _BUCKET.fullmatch(bucket):
            raise InvalidBucketName(BucketName=bucket)
        written = quote(key, safe="/-_.~")
        if self.virtual and _LABEL.fullmatch(bucket):
            return f"{bucket}.{self.host}", f"{self.path}/{written}"
        return self.host, f"{self.path}/{bucket}/{written}" if key else f"{self.path}/{bucket}"


def endpoint_of(url: str, *, virtual: bool) -> Endpoint:
    """Read the URL of a server. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError(f"expected a URL such as https://s3.example.com, got {url!r}")
    default = {"http": 80, "https": 443}[parts.scheme]
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = "" if parts.port in {None, default} else f":{parts.port}"
    return Endpoint(parts.scheme, f"{host}{port}", parts.path.rstrip("/"), virtual)


def aws_url(region: str) -> str:
    """Return the URL of AWS's own S3. https://docs.aws.amazon.com/general/latest/gr/s3.html."""
    return f"https://s3.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}"
