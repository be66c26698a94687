"""What backends share that put objects and listings together themselves: decisions only, no I/O."""

import secrets
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice, pairwise
from typing import Final, NamedTuple

from gateway.checksums import ALGORITHMS, Checksum, combine, composite, multipart_etag
from gateway.errors import (
    BadDigest,
    EntityTooSmall,
    InvalidPart,
    InvalidPartNumber,
    InvalidPartOrder,
    InvalidRequest,
    MalformedXML,
    PreconditionFailed,
)
from gateway.storage import Completion, ListQuery, Part, PartPage, ReadOptions, UploadInfo, UploadPage, UploadQuery

SMALLEST_PART: Final = 5 * 1024 * 1024  # https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
LAST_CODE_POINT: Final = 0x10FFFF
LAST_ID: Final = chr(LAST_CODE_POINT)  # sorts behind every id of an upload
SURROGATES: Final = range(0xD800, 0xE000)  # no character of UTF-8


class Assembled(NamedTuple):
    """What an upload becomes. `parts` count from 1 without gaps, in the order in which they were asked for."""

    etag: str
    checksum: Checksum | None  # None where a part was stored without one
    size: int
    parts: Sequence[Part]


def assemble(
    stored: Mapping[int, Part], info: UploadInfo, claimed: Sequence[Part], completion: Completion
) -> Assembled:
    """Decide what becomes of an upload whose `stored` parts are known by number, if those `claimed` make the object.

    Raises what `Backend.complete_upload` does, conditions and NoSuchUpload apart.
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html
    """
    parts = _chosen(stored, info, claimed)
    size = sum(part.size for part in parts)
    if completion.size is not None and completion.size != size:
        raise InvalidRequest(
            f"The provided 'x-amz-mp-object-size' header value {completion.size} "
            f"does not match what was computed: {size}",
        )
    checksum = _checksum(parts, is_composite=info.options.composite)
    if completion.checksum:
        _compare(completion.checksum, checksum)
    numbered = [replace(part, number=number) for number, part in enumerate(parts, start=1)]
    return Assembled(multipart_etag([part.etag for part in parts]), checksum, size, numbered)


def _chosen(stored: Mapping[int, Part], info: UploadInfo, claimed: Sequence[Part]) -> Sequence[Part]:
    numbers = [part.number for part in claimed]
    if not numbers:
        raise MalformedXML
    if any(number >= following for number, following in pairwise(numbers)):
        raise InvalidPartOrder(UploadId=info.upload.id)
    for claim in claimed:
        if info.options.composite and claim.checksum is None:
            raise InvalidRequest(
                f"The upload was created using a {info.options.checksum.lower()} checksum. The complete request must "
                f"include the checksum for each part. It was missing for part {claim.number} in the request.",
            )
        if not _is_claimed(stored.get(claim.number), claim):
            raise InvalidPart(UploadId=info.upload.id, PartNumber=str(claim.number), ETag=claim.etag)
    parts = [stored[number] for number in numbers]
    for part in parts[:-1]:
        if part.size < SMALLEST_PART:
            raise EntityTooSmall(
                ProposedSize=str(part.size),
                MinSizeAllowed=str(SMALLEST_PART),
                PartNumber=str(part.number),
                ETag=part.etag,
            )
    return parts


def _is_claimed(part: Part | None, claim: Part) -> bool:
    return part is not None and part.etag == claim.etag and claim.checksum in {None, part.checksum}


def _checksum(parts: Sequence[Part], *, is_composite: bool) -> Checksum | None:
    """Of which type: a whole's SHA cannot be told from its parts, and CRC64NVME is always of the whole.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
    """
    checksums = [part.checksum for part in parts if part.checksum]
    if len(checksums) != len(parts):
        return None
    algorithm = ALGORITHMS[checksums[0].algorithm]
    if algorithm.combine is None or (is_composite and algorithm.composite):
        return composite(checksums)
    return combine([(checksum, part.size) for checksum, part in zip(checksums, parts, strict=True)])


def _compare(declared: Checksum, actual: Checksum | None) -> None:
    """Raise unless they agree; the number of parts behind a composite value may be left out, as some SDKs do."""
    stored = actual.algorithm.lower() if actual else "null"
    if actual is None or declared.algorithm != actual.algorithm:
        raise InvalidRequest(
            f"Checksum Type mismatch occurred, expected checksum Type: {stored}, "
            f"actual checksum Type: {declared.algorithm.lower()}",
        )
    if declared.composite and not actual.composite:
        raise InvalidRequest(
            f"The upload was created using the {actual.type} checksum mode. "
            "The complete request must use the same checksum mode.",
        )
    if declared.value not in {actual.value, actual.value.partition("-")[0]}:
        raise BadDigest(f"The {actual.algorithm} you specified did not match the calculated checksum.")


def span(size: int, parts: Sequence[Part], options: ReadOptions) -> tuple[int, int]:
    """Return which bytes [start, stop) of an object are wanted; without `parts` it is not from a multipart upload.

    Raises: InvalidRange, InvalidPartNumber.
    """
    if options.part is not None:
        return _part_span(size, parts, options.part)
    return options.span(size)


def _part_span(size: int, parts: Sequence[Part], number: int) -> tuple[int, int]:
    sizes = [part.size for part in parts] or [size]
    if not 1 <= number <= len(sizes):
        raise InvalidPartNumber(PartNumberRequested=str(number), ActualPartCount=str(len(sizes)))
    start = sum(sizes[: number - 1])
    return start, start + sizes[number - 1]


class Folded(NamedTuple):
    """A page of keys and common prefixes; `last` as in ListPage."""

    keys: Sequence[str]
    prefixes: Sequence[str]
    last: str = ""


class _Item(NamedTuple):
    name: str
    is_prefix: bool


def fold(seek: Callable[[str], Iterable[str]], query: ListQuery) -> Folded:
    """Fold keys into a page. `seek` gives the keys from its argument on (that one included), in order.

    It is called once, and again behind each common prefix instead of walking through what lies inside. A key is a
    str without surrogates, so the order of str, which is that of code points, is the order of UTF-8 bytes as well.
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
    """
    start = f"{query.after}\0" if query.after else ""
    items = list(islice(_items(seek, query, start), query.limit + 1)) if query.limit else []
    page = items[: query.limit]
    return Folded(
        [item.name for item in page if not item.is_prefix],
        [item.name for item in page if item.is_prefix],
        page[-1].name if len(items) > len(page) else "",
    )


def _items(seek: Callable[[str], Iterable[str]], query: ListQuery | UploadQuery, start: str) -> Iterator[_Item]:
    position: str | None = max(query.prefix, start)
    while position is not None:
        keys, position = seek(position), None
        for key in keys:
            if not key.startswith(query.prefix):
                return
            common = _common_prefix(key, query)
            if not common:
                yield _Item(key, is_prefix=False)
                continue
            if common != query.after:
                yield _Item(common, is_prefix=True)
            position = behind(common)
            break


def _common_prefix(key: str, query: ListQuery | UploadQuery) -> str:
    at = key.find(query.delimiter, len(query.prefix)) if query.delimiter else -1
    return key[: at + len(query.delimiter)] if at >= 0 else ""


def behind(prefix: str) -> str | None:
    """Return the first string after all that begin with `prefix`; None if there is none."""
    stem = prefix.rstrip(chr(LAST_CODE_POINT))
    if not stem:
        return None
    following = ord(stem[-1]) + 1
    return stem[:-1] + chr(SURROGATES.stop if following in SURROGATES else following)


def fold_uploads(uploads: Iterable[UploadInfo], query: UploadQuery) -> UploadPage:
    """Fold uploads, in whatever order they come, into a page. Ids must be those of `new_upload_id`.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListMultipartUploads.html
    """
    by_key: dict[str, list[UploadInfo]] = {}
    for info in sorted(uploads, key=_place):
        if not query.after or _place(info) > (query.after, query.after_id or LAST_ID):
            by_key.setdefault(info.upload.at.key, []).append(info)
    keys = list(by_key)
    found: list[UploadInfo | str] = []
    for item in _items(lambda start: keys[bisect_left(keys, start) :], query, query.after):
        found.extend([item.name] if item.is_prefix else by_key[item.name])
        if len(found) > query.limit:
            break
    page = found[: query.limit]
    last = page[-1] if page and len(found) > len(page) else ""
    return UploadPage(
        [entry for entry in page if isinstance(entry, UploadInfo)],
        [entry for entry in page if isinstance(entry, str)],
        *((last, "") if isinstance(last, str) else _place(last)),
    )


def _place(info: UploadInfo) -> tuple[str, str]:
    return info.upload.at.key, info.upload.id


def new_upload_id() -> str:
    """Return an id that nobody can guess and that sorts by age, as listings do."""
    return f"{time.time_ns():016x}{secrets.token_hex(16)}"


def check_labels(labels: Mapping[str, str], wanted: Mapping[str, str] | None) -> None:
    """Raise PreconditionFailed unless the labels are the ones that were wanted, if any were."""
    if wanted is not None and dict(labels) != dict(wanted):
        raise PreconditionFailed


def page_of_parts(info: UploadInfo, stored: Iterable[Part], after: int, limit: int) -> PartPage:
    """Return the page of parts after number `after`."""
    parts = sorted((part for part in stored if part.number > after), key=lambda part: part.number)
    page = parts[:limit]
    return PartPage(info, page, page[-1].number if page and len(parts) > len(page) else 0)
