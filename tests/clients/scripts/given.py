"""What every script is given: where the gateway is, a bucket of its own, and bytes to send."""

import hashlib
import os
import random
import ssl
import urllib.error
import urllib.request

URL = os.environ["AWS_ENDPOINT_URL"]
TLS = URL.startswith("https:")
HOST = URL.partition("://")[2]
ACCESS_KEY = os.environ["AWS_ACCESS_KEY_ID"]
SECRET_KEY = os.environ["AWS_SECRET_ACCESS_KEY"]
REGION = os.environ["AWS_REGION"]
AUTHORITY = os.environ["AUTHORITY"]
BUCKET = os.environ["BUCKET"]

MIB = 1 << 20
KEYS = [
    "plain.txt",
    "a/b/c/deep",
    "spaces and + plus & ampersand = ?#%41",
    "<xml> \"quoted\" 'single'",
    "größe/日本語/🦀",
    "tilde~dash-_.dots/!*'();:@$,[]{}|^`\\",
]


def data(size: int) -> bytes:
    """Return `size` bytes that no compression and no framing can be mistaken for."""
    return random.Random(size).randbytes(size)


def same(got: bytes, sent: bytes) -> bool:
    """Compare by SHA-256, so that a failure prints no megabytes."""
    return hashlib.sha256(got).digest() == hashlib.sha256(sent).digest()


def fetch(url: str, *, method: str = "GET", body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    """Ask like a program that knows no S3; return the status and the body. A body is told to be a file's."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    typed = {"content-type": "application/octet-stream"} if body else {}
    request = urllib.request.Request(url, body, {**typed, **named}, method=method)
    context = ssl.create_default_context(cafile=AUTHORITY)
    try:
        with urllib.request.urlopen(request, context=context, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


class Stream:
    """Bytes that come once, with no length and no way back, as from a pipe."""

    def __init__(self, content: bytes) -> None:
        self._content = memoryview(content)
        self._place = 0

    def read(self, size: int = -1) -> bytes:
        end = len(self._content) if size < 0 else self._place + size
        piece = bytes(self._content[self._place : end])
        self._place += len(piece)
        return piece
