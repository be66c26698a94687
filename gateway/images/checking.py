"""Looks at what is to be written before it is, where nothing but images is to be stored."""

from collections.abc import AsyncIterable
from typing import Final, NamedTuple

from gateway.errors import EntityTooLarge, InvalidArgument, NotImplementedByGateway, SlowDown
from gateway.images.keeper import Keeper, Pictures, unfit_by
from gateway.images.spec import Reason, Unfit
from gateway.images.spool import Spool
from gateway.images.telling import Telling
from gateway.storage import Address, Body, Download, WriteOptions
from gateway.transfer import chunks_of

UNSEEN: Final = "upload_not_seen"  # the storage shows nobody the parts of an upload


class Content(NamedTuple):
    """Bytes that are to be looked at; their size is None where it is not known beforehand."""

    chunks: AsyncIterable[bytes]
    size: int | None


def sent(body: Body) -> Content:
    """Return what is in an upload."""
    return Content(body, body.size)


def stored(download: Download) -> Content:
    """Return what is in an object, or will be."""
    return Content(chunks_of(download), download.stop - download.start)


class Checking:
    """Refuses what is no image, or beyond the limits of its bucket."""

    def __init__(self, keeper: Keeper, telling: Telling) -> None:
        self._keeper, self._telling = keeper, telling

    def check_upload(self, pictures: Pictures, at: Address) -> None:
        """Refuse an upload in parts that nobody could look at before it is seen by all. Raises: NotImplemented."""
        if pictures.rejects and not pictures.shows_uploads:
            self._telling.refused(pictures, at, UNSEEN)
            raise NotImplementedByGateway(
                "Images are looked at before they are stored here, and the storage behind this bucket does not show "
                "what is uploaded in parts: send it in one piece, with PutObject."
            )

    async def check(self, pictures: Pictures, at: Address, said: WriteOptions, content: Content, spool: Spool) -> None:
        """Take bytes into the spool, and refuse them unless variants could be made of them.

        Raises: EntityTooLarge, InvalidArgument, SlowDown, and what reading them does.
        """
        reason = unfit_by(said.headers, content.size, pictures)
        if reason != Reason.TOO_MANY_BYTES:
            await spool.take(content.chunks)
            reason = reason or await self._unfit(spool, at.bucket, said)
        if not reason:
            return
        self._telling.refused(pictures, at, reason)
        if reason == Reason.TOO_MANY_BYTES:
            size = str(spool.size or content.size)
            raise EntityTooLarge(ProposedSize=size, MaxSizeAllowed=str(pictures.limits.max_bytes))
        raise InvalidArgument(f"This is not stored here, because of what it is: {reason}.", ArgumentName="body")

    async def _unfit(self, spool: Spool, bucket: str, said: WriteOptions) -> str:
        if not spool.is_whole:
            return Reason.TOO_MANY_BYTES.value
        try:
            await self._keeper.check(spool.path, bucket, said.headers.get("content-type", ""))
        except Unfit as unfit:
            if unfit.passing:
                raise SlowDown from unfit
            return unfit.reason.value
        return ""
