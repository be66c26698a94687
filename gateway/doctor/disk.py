"""What a folder is tried with that objects are to lie in."""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Final

from gateway.doctor.findings import Diagnosis, Lacking, Result

SPARE: Final = 100 * 1024 * 1024  # bytes, of which a disk should have more
NETWORKS: Final = frozenset(
    {"9p", "afs", "ceph", "cifs", "fuse.sshfs", "fuse.s3fs", "glusterfs", "lustre", "nfs", "nfs4", "smb3", "smbfs"}
)
_TMPFILE: Final = getattr(os, "O_TMPFILE", 0)


def examine(root: Path, diagnosis: Diagnosis) -> None:
    """Try what the disk below a folder can do, in a folder of its own that is removed again."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="doctor-", dir=root / ".gw" / "tmp"))
    except OSError as error:
        diagnosis.add("writable", Result.NO, f"{root}: {error.strerror}", problem=True)
        return
    try:
        diagnosis.add("writable", Result.YES)
        for name, (probe, instead) in _PROBES.items():
            _try(name, probe, instead, folder, diagnosis)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _try(name: str, probe: Callable[[Path], str], instead: str, folder: Path, diagnosis: Diagnosis) -> None:
    try:
        diagnosis.add(name, Result.YES, probe(folder))
    except Lacking as error:
        diagnosis.add(name, Result.NO, str(error), problem=True)
    except OSError as error:
        if instead and error.errno in {errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM, errno.EINVAL, errno.EISDIR}:
            diagnosis.add(name, Result.EMULATED, instead)
        else:
            diagnosis.add(name, Result.NO, error.strerror or str(error), problem=True)


def _fsync(folder: Path) -> str:
    with (folder / "synced").open("wb") as file:
        file.write(b"synced")
        file.flush()
        os.fsync(file.fileno())
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return ""


def _xattrs(folder: Path) -> str:
    (folder / "noted").touch()
    os.setxattr(folder / "noted", "user.gateway.doctor", b"noted")
    if os.getxattr(folder / "noted", "user.gateway.doctor") != b"noted":
        raise Lacking("extended attributes do not come back as they were written")
    return ""


def _links(folder: Path) -> str:
    (folder / "one").write_bytes(b"linked")
    os.link(folder / "one", folder / "two")
    return ""


def _unnamed(folder: Path) -> str:
    if not _TMPFILE:
        raise OSError(errno.EOPNOTSUPP, "this system has no files without names")
    os.close(os.open(folder, _TMPFILE | os.O_RDWR, 0o600))
    return ""


def _cases(folder: Path) -> str:
    (folder / "case").touch()
    with suppress(FileNotFoundError):
        (folder / "CASE").stat()
        raise Lacking("keys that differ only in upper and lower case are one file here")
    return ""


def _normal_forms(folder: Path) -> str:
    (folder / "\u00e9").touch()
    if "\u00e9" not in {entry.name for entry in folder.iterdir()}:
        raise Lacking("names are changed by the disk")
    with suppress(FileNotFoundError):
        (folder / "e\u0301").stat()
        raise Lacking("keys that differ only in Unicode's normal form are one file here")
    return ""


def _space(folder: Path) -> str:
    told = os.statvfs(folder)
    free, files = told.f_bavail * told.f_frsize, told.f_favail
    if free < SPARE:
        raise Lacking(f"only {free // 1024**2} MiB are free")
    if told.f_files and not files:
        raise Lacking("no more files can be made")
    return f"{free / 1024**3:.1f} GiB free"


def _at_hand(folder: Path) -> str:
    kind = _file_system(folder)
    if kind in NETWORKS:
        raise Lacking(f"{kind} is a network's file system: locks and fsync may hold for less than they say")
    return kind


def _file_system(folder: Path) -> str:
    """Return the type of the file system. https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html."""
    number = folder.stat().st_dev
    wanted = f"{os.major(number)}:{os.minor(number)}"
    with suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            fields, _, rest = line.partition(" - ")
            if fields.split()[2] == wanted:
                return rest.split()[0]
    return "unknown"


_PROBES: Final[Mapping[str, tuple[Callable[[Path], str], str]]] = MappingProxyType(
    {
        "fsync": (_fsync, ""),
        "extended attributes": (_xattrs, "metadata is kept in files of its own, in .gw/meta"),
        "hard links": (_links, ""),
        "files without names": (_unnamed, "files are written under names in .gw/tmp"),
        "upper and lower case": (_cases, ""),
        "letters as they are": (_normal_forms, ""),
        "space": (_space, ""),
        "local file system": (_at_hand, ""),
    }
)
