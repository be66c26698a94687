"""A key that is made once and kept in a file which only its owner can read."""

import os
import secrets
from pathlib import Path
from typing import Final

ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_ACCESS, _SECRET = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"


class KeyFileError(Exception):
    """Says in one line why the file cannot be used."""


def kept_key(file: Path) -> tuple[str, str]:
    """Return the access key and the secret key in a file, making both if there is none. Raises: KeyFileError."""
    try:
        return _read(file)
    except FileNotFoundError:
        pass
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(file)
        return _read(file)
    except OSError as error:
        raise KeyFileError(f"{file}: the keys cannot be kept: {error.strerror}") from error


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


def _write(file: Path) -> None:
    """Write new keys under a name of their own and link them into place: whoever comes second takes the first's."""
    access_key = "GW" + "".join(secrets.choice(ALPHABET) for _ in range(18))
    text = f"{_ACCESS}={access_key}\n{_SECRET}={secrets.token_urlsafe(30)}\n"
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
