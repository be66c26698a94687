"""Listings of multipart uploads, of which some are on the primary and some on the fallback."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final, NamedTuple

from gateway.backends.assembly import fold_uploads
from gateway.replication.journal import Journal
from gateway.replication.records import Begun
from gateway.storage import Upload, UploadInfo, UploadPage, UploadQuery

ON_PRIMARY: Final = "p."  # an id without any is the primary's, too, from before the bucket was replicated
ON_FALLBACK: Final = "f."
_FIRST: Final = " "  # sorts before every id
_AT_ONCE: Final = 1000


def for_fallback(query: UploadQuery) -> UploadQuery:
    """Return what to ask the journal: behind an upload on the primary come all those of the same key."""
    if not query.after_id or query.after_id.startswith(ON_FALLBACK):
        return query
    return query._replace(after_id=_FIRST)


def told(begun: Begun) -> UploadInfo:
    """Return an upload on the fallback as its client knows it."""
    return UploadInfo(Upload(begun.at, ON_FALLBACK + begun.id), begun.initiated, begun.options)


def for_primary(query: UploadQuery) -> UploadQuery:
    """Return what to ask the primary: of one key its uploads come first."""
    if query.after_id.startswith(ON_FALLBACK):
        return query._replace(after_id="")
    return query._replace(after_id=query.after_id.removeprefix(ON_PRIMARY))


async def on_fallback(journal: Journal, bucket: str, query: UploadQuery) -> UploadPage:
    """Return a page of the uploads on the fallback."""
    wanted = for_fallback(query)
    found: list[Begun] = []
    position = wanted._replace(limit=_AT_ONCE, after_id=wanted.after_id.removeprefix(ON_FALLBACK))
    while True:
        page = await journal.uploads(bucket, position)
        found += page
        if len(page) < _AT_ONCE or (len(found) > query.limit and not query.delimiter):
            return fold_uploads(map(told, found), wanted)
        position = position._replace(after=page[-1].at.key, after_id=page[-1].id)


def joined(primary: UploadPage, fallback: UploadPage, limit: int) -> UploadPage:
    """Return one page out of two, none of which may end before it."""
    entries = sorted({entry.place: entry for entry in (*_entries(fallback, 1), *_entries(primary, 0))}.values())
    ends = [_Place(page.last, rank, len(page.uploads)) for rank, page in enumerate((primary, fallback)) if page.last]
    certain = [entry for entry in entries if not ends or entry.place <= min(ends)]
    page = certain[:limit]
    last = page[-1].item if page and (ends or len(entries) > len(page)) else None
    return UploadPage(
        [entry.item for entry in page if isinstance(entry.item, UploadInfo)],
        [entry.item for entry in page if isinstance(entry.item, str)],
        *_marker(last),
    )


class _Place(NamedTuple):
    """Where an item stands: a prefix by its name, an upload by its key, its storage, and its turn there."""

    name: str
    rank: int = 0
    turn: int = 0


class _Entry(NamedTuple):
    place: _Place
    item: UploadInfo | str


def _entries(page: UploadPage, rank: int) -> Iterator[_Entry]:
    for turn, info in enumerate(page.uploads):
        upload = info.upload if rank else info.upload._replace(id=ON_PRIMARY + info.upload.id)
        yield _Entry(_Place(upload.at.key, rank, turn), replace(info, upload=upload))
    for prefix in page.prefixes:
        yield _Entry(_Place(prefix), prefix)


def _marker(last: UploadInfo | str | None) -> tuple[str, str]:
    if isinstance(last, UploadInfo):
        return last.upload.at.key, last.upload.id
    return last or "", ""
