"""Keys that are made once and kept in a file which only its owner can read."""

import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Final

ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_ACCESS, _SECRET = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
_SIGNING_BYTES: Final = 32  # of HMAC-SHA-256's own width
_OTHERS: Final = 0o027  # what its mode must not allow; a group may read it, as a mounted Secret has it


class KeyFileError(Exception):
    """Says in one line why the file cannot be used."""


def kept_key(file: Path) -> tuple[str, str]:
    """Return the access key and the secret key in a file, making both if there is none. Raises: KeyFileError."""
    try:
        return _read(file)
    except FileNotFoundError:
        pass
    _make(file, f"{_ACCESS}={_new_access_key()}\n{_SECRET}={secrets.token_urlsafe(30)}\n")
    return _read(file)


def signing_keys(file: Path, *, make: bool = False) -> Sequence[bytes]:
    """Return the keys in a file, one a line in hexadecimal; `make`: one, if there is no file. Raises: KeyFileError.

    The first of them signs; what any of them has signed is believed.
    """
    if make and not file.exists():
        _make(file, f"{secrets.token_hex(_SIGNING_BYTES)}\n")
    try:
        if file.stat().st_mode & _OTHERS:
            raise KeyFileError(f"{file}: others can read or change it; chmod 600 it")
        lines = file.read_text("ascii").split()
        keys = [bytes.fromhex(line) for line in lines]
    except FileNotFoundError as error:
        raise KeyFileError(f"{file}: there is no such file, so nothing that was signed can be believed") from error
    except (OSError, ValueError) as error:
        raise KeyFileError(f"{file}: the keys cannot be read") from error
    if not keys or min(map(len, keys)) < _SIGNING_BYTES:
        raise KeyFileError(f"{file}: expected keys of {_SIGNING_BYTES} bytes in hexadecimal, one a line")
    return keys


def _read(file: Path) -> tuple[str, str]:
    try:
        lines = file.read_text("utf-8").splitlines()
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        raise KeyFileError(f"{file}: the keys cannot be read") from error
    values = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    if not (values.get(_ACCESS) and values.get(_SECRET)):
        raise KeyFileError(f"{file}: expected lines {_ACCESS}=... and {_SECRET}=...")
    return values[_ACCESS], values[_SECRET]


def _new_access_key() -> str:
    return "GW" + "".join(secrets.choice(ALPHABET) for _ in range(18))


def _make(file: Path, text: str) -> None:
    """Keep a text in a new file; whoever comes second finds the first's. Raises: KeyFileError."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(file, text)
    except OSError as error:
        raise KeyFileError(f"{file}: the keys cannot be kept: {error.strerror}") from error


def _write(file: Path, text: str) -> None:
    """Write a text under a name of its own and link it into place, unless something is there."""
    scratch = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(descriptor)
        file.hardlink_to(scratch)
    except FileExistsError:
        pass
    finally:
        scratch.unlink()
