"""Which folders can hold a database: not those of another machine, whose locks and shared memory do not hold."""

from pathlib import Path
from typing import Final

_MOUNTS: Final = Path("/proc/self/mounts")
_REMOTE: Final = frozenset(
    {"9p", "afs", "ceph", "cifs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "smb3", "smbfs"}
)
_FUSE: Final = "fuse."  # fuse.sshfs, fuse.gcsfuse, ...


def refuse_remote(folder: Path, mounts: Path = _MOUNTS) -> None:
    """Raise OSError if a folder is on another machine; https://www.sqlite.org/wal.html says why it must not be."""
    kind = kind_of(folder.resolve(), mounts)
    if kind in _REMOTE or kind.startswith(_FUSE):
        raise OSError(f"{folder} is on a {kind} filesystem: SQLite needs a disk of this machine, or use PostgreSQL")


def kind_of(folder: Path, mounts: Path) -> str:
    """Return the type of the filesystem that holds a folder, "" where the system does not say."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return ""
    found = [
        (len(point), number, kind) for number, (point, kind) in enumerate(map(_entry, lines)) if _holds(point, folder)
    ]
    return max(found)[2] if found else ""


def _entry(line: str) -> tuple[str, str]:
    _, point, kind, *_ = line.split(" ")
    for code in ("\\040", "\\011", "\\012", "\\134"):
        point = point.replace(code, chr(int(code[1:], 8)))
    return point, kind


def _holds(point: str, folder: Path) -> bool:
    return folder.is_relative_to(point)
