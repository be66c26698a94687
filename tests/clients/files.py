"""Files as the tests compare them: by SHA-256."""

import hashlib
import os
from contextlib import suppress
from pathlib import Path


def sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def hashes(folder: Path) -> dict[str, str]:
    """Return the hash of every file below `folder` by its path in it, without what goes while it is looked for."""
    found = {}
    for path, _, names in os.walk(folder):
        for file in (Path(path, name) for name in names):
            with suppress(FileNotFoundError):
                if file.is_file():
                    found[str(file.relative_to(folder))] = sha256(file)
    return found
