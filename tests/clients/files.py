"""Files as the tests compare them: by SHA-256."""

import hashlib
from pathlib import Path


def sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def hashes(folder: Path) -> dict[str, str]:
    """Return the hash of every file below `folder` by its path in it."""
    return {str(file.relative_to(folder)): sha256(file) for file in folder.rglob("*") if file.is_file()}
