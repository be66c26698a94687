"""Looks at what is to be written before it is, where nothing but images is to be stored."""

from typing import Final

from gateway.errors import EntityTooLarge, InvalidArgument, NotImplementedByGateway, SlowDown
from gateway.images.keeper import Keeper, Pictures, unfit_by
from gateway.images.spec import Reason, Unfit
from gateway.images.spool import Spool
from gateway.images.telling import Telling
from gateway.storage import Address, Body, Download, WriteOptions

UNSEEN: Final = "upload_not_seen"  # the storage shows nobody the parts of an upload


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

    async def check(
        self, pictures: Pictures, at: Address, said: WriteOptions, content: Body | Download, spool: Spool
    ) -> None:
        """Take bytes into the spool, and refuse them unless variants could be made of them.

        Raises: EntityTooLarge, InvalidArgument, SlowDown, and what reading them does.
        """
        size = content.size if isinstance(content, Body) else content.stop - content.start
        reason = unfit_by(said.headers, size, pictures)
        if reason != Reason.TOO_MANY_BYTES:
            await (spool.take(content) if isinstance(content, Body) else spool.fill(content))
            reason = reason or await self._unfit(pictures, at, said, spool)
        if not reason:
            return
        self._telling.refused(pictures, at, reason)
        if reason == Reason.TOO_MANY_BYTES:
            raise EntityTooLarge(ProposedSize=str(spool.size or size), MaxSizeAllowed=str(pictures.limits.max_bytes))
        raise InvalidArgument(f"This is not stored here, because of what it is: {reason}.", ArgumentName="body")

    async def _unfit(self, pictures: Pictures, at: Address, said: WriteOptions, spool: Spool) -> str:
        if not spool.is_whole:
            return Reason.TOO_MANY_BYTES.value
        try:
            await self._keeper.check(spool.path, at.bucket, said.headers.get("content-type", ""))
        except Unfit as unfit:
            if unfit.passing:
                self._telling.refused(pictures, at, unfit.reason.value)
                raise SlowDown from unfit
            return unfit.reason.value
        return ""
