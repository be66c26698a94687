"""What keeps clients out of the gateway's own corner of every bucket."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from gateway.conditions import ANY_STATE, Conditions
from gateway.errors import AccessDenied
from gateway.routing.wrapper import Wrapper
from gateway.storage import (
    PRIVATE,
    Address,
    Body,
    Completion,
    Download,
    ListPage,
    ListQuery,
    ObjectInfo,
    Part,
    PartPage,
    ReadOptions,
    Upload,
    UploadPage,
    UploadQuery,
    WriteOptions,
)

_LAST = f"{PRIVATE}\U0010ffff"  # no key of ours comes after it


class Private(Wrapper):
    """A `Backend` in which keys under `.gw/` are denied and not listed, for what keeps something there."""

    def get(self, at: Address, options: ReadOptions = ReadOptions()) -> AbstractAsyncContextManager[Download]:
        return self.inner.get(_open(at), options)

    async def head(self, at: Address, options: ReadOptions = ReadOptions()) -> ObjectInfo:
        return await self.inner.head(_open(at), options)

    async def put(self, at: Address, body: Body, options: WriteOptions = WriteOptions()) -> ObjectInfo:
        return await self.inner.put(_open(at), body, options)

    async def copy(self, source: Address, to: Address, options: WriteOptions, etag: str) -> ObjectInfo:
        return await self.inner.copy(_open(source), _open(to), options, etag)

    async def annotate(self, at: Address, labels: Mapping[str, str], was: Mapping[str, str] | None = None) -> None:
        await self.inner.annotate(_open(at), labels, was)

    async def delete(self, at: Address, conditions: Conditions = ANY_STATE) -> None:
        await self.inner.delete(_open(at), conditions)

    async def list_objects(self, bucket: str, query: ListQuery) -> ListPage:
        if query.prefix.startswith(PRIVATE):
            return await self.inner.list_objects(bucket, query._replace(limit=0))
        page = await self.inner.list_objects(bucket, query)
        if not any(_may_hold_ours(item) for item in (*page.prefixes, *(info.key for info in page.objects))):
            return page
        return await self._without_ours(bucket, query, page)

    async def _without_ours(self, bucket: str, query: ListQuery, page: ListPage) -> ListPage:
        """Return a page that held keys of ours, filled up by what comes behind them all."""
        objects = [info for info in page.objects if not info.key.startswith(PRIVATE)]
        prefixes = [prefix for prefix in page.prefixes if await self._is_shown(bucket, prefix)]
        missing = query.limit - len(objects) - len(prefixes)
        if not page.last or not missing:
            return ListPage(objects, prefixes, page.last)
        after = _LAST if page.last.startswith(PRIVATE) and page.last != PRIVATE else page.last
        rest = await self.list_objects(bucket, query._replace(after=after, limit=missing))
        return ListPage([*objects, *rest.objects], [*prefixes, *rest.prefixes], rest.last)

    async def _is_shown(self, bucket: str, prefix: str) -> bool:
        """Say whether a common prefix holds any key that is not ours."""
        if prefix.startswith(PRIVATE) or not PRIVATE.startswith(prefix):
            return not prefix.startswith(PRIVATE)
        page = await self.list_objects(bucket, ListQuery(prefix, limit=1))
        return bool(page.objects)

    async def create_upload(self, at: Address, options: WriteOptions = WriteOptions()) -> Upload:
        return await self.inner.create_upload(_open(at), options)

    async def put_part(self, upload: Upload, number: int, body: Body) -> Part:
        _open(upload.at)
        return await self.inner.put_part(upload, number, body)

    async def copy_part(self, upload: Upload, number: int, source: Address, options: ReadOptions, etag: str) -> Part:
        _open(upload.at)
        return await self.inner.copy_part(upload, number, _open(source), options, etag)

    async def list_parts(self, upload: Upload, after: int = 0, limit: int = 1000) -> PartPage:
        _open(upload.at)
        return await self.inner.list_parts(upload, after, limit)

    async def list_uploads(self, bucket: str, query: UploadQuery) -> UploadPage:
        page = await self.inner.list_uploads(bucket, query)
        uploads = [info for info in page.uploads if not info.upload.at.key.startswith(PRIVATE)]
        prefixes = [prefix for prefix in page.prefixes if not prefix.startswith(PRIVATE)]
        if page.last.startswith(PRIVATE):
            return UploadPage(uploads, prefixes, _LAST)
        return page._replace(uploads=uploads, prefixes=prefixes)

    async def complete_upload(self, upload: Upload, parts: Sequence[Part], completion: Completion) -> ObjectInfo:
        _open(upload.at)
        return await self.inner.complete_upload(upload, parts, completion)

    async def abort_upload(self, upload: Upload) -> None:
        _open(upload.at)
        await self.inner.abort_upload(upload)


def _open(at: Address) -> Address:
    """Return an address that is a client's. Raises: AccessDenied."""
    if at.key.startswith(PRIVATE):
        raise AccessDenied
    return at


def _may_hold_ours(item: str) -> bool:
    return item.startswith(PRIVATE) or PRIVATE.startswith(item)
