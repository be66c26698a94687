"""Documents that nobody can make or change who does not hold a key: a line of JSON, and a line that signs it."""

import hmac
import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

from gateway.errors import BadDigest

_ALGORITHM: Final = "hmac-sha256"


class Untrusted(BadDigest):
    """What was read was signed with none of our keys, or changed since."""

    message = "What is there is not what was signed."


class Signer:
    """Signs with the first of its keys, and believes what any of them has signed."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = {_name(key): key for key in reversed(keys)}
        self._first = _name(keys[0])

    def sign(self, document: Mapping[str, Any]) -> bytes:
        """Return a document as two lines."""
        line = json.dumps(document, separators=(",", ":")).encode() + b"\n"
        signature = {"key": self._first, _ALGORITHM: _sign(self._keys[self._first], line)}
        return line + json.dumps(signature, separators=(",", ":")).encode() + b"\n"

    def read(self, lines: bytes) -> dict[str, Any]:
        """Return a document of two lines. Raises: Untrusted."""
        line, end, last = lines.partition(b"\n")
        line += end
        try:
            signature: dict[str, Any] = json.loads(last)
            name, said = str(signature["key"]), str(signature[_ALGORITHM])
        except (KeyError, TypeError, ValueError) as error:
            raise Untrusted("It bears no signature.") from error
        if name not in self._keys:
            raise Untrusted(f"It is signed with the key {name[:16]!r}, which is none of ours.")
        if not hmac.compare_digest(said.encode(), _sign(self._keys[name], line).encode()):
            raise Untrusted
        document: dict[str, Any] = json.loads(line)
        return document


def _sign(key: bytes, line: bytes) -> str:
    return hmac.new(key, line, sha256).hexdigest()


def _name(key: bytes) -> str:
    """Return what tells a key from others, and nothing else of it."""
    return sha256(b"name of a key\0" + key).hexdigest()[:16]
