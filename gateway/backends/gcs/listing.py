"""Pages of keys: those of the storage, without what is ours, and exactly behind where they are to begin.

https://cloud.google.com/storage/docs/json_api/v1/objects/list
"""

from collections.abc import AsyncIterator
from typing import Any, Final, NamedTuple

from gateway.backends.assembly import behind
from gateway.backends.gcs.client import API, Client, Request
from gateway.backends.gcs.names import BEHIND_OWN, OWN, bucket_path, from_there, has_line_end
from gateway.backends.gcs.resources import found
from gateway.storage import Address, ListPage, ListQuery, ObjectInfo

MOST: Final = 1000  # of one request
LISTED: Final = "items(name,generation,size,md5Hash,crc32c,timeCreated,updated,metadata),prefixes,nextPageToken"


class Lot(NamedTuple):
    """What one request gave, in order; `token` asks for the next, "" ends them."""

    items: list[dict[str, Any]]
    prefixes: list[str]
    token: str


async def list_objects(client: Client, bucket: str, query: ListQuery) -> ListPage:
    """Return a page of objects and common prefixes."""
    items: dict[str, ObjectInfo | None] = {}
    full = False
    async for name, info in _items(client, bucket, query):
        if len(items) == query.limit:
            full = True
            break
        items[name] = info
    return ListPage(
        [info for info in items.values() if info],
        [name for name, info in items.items() if not info],
        next(reversed(items)) if full and items else "",
    )


async def _items(client: Client, bucket: str, query: ListQuery) -> AsyncIterator[tuple[str, ObjectInfo | None]]:
    """Give objects by name, and common prefixes with None, one more at least than are wanted if there are."""
    async for lot in lots(client, bucket, query):
        listed: dict[str, ObjectInfo | None] = {item["name"]: found(item).info for item in lot.items}
        listed |= dict.fromkeys(lot.prefixes)
        for name in sorted(listed):
            info = listed[name]
            if name.startswith(OWN) or (info and name <= query.after):
                continue
            if info is None and not await _is_to_be_told(client, bucket, name, query):
                continue
            yield name, info


async def _is_to_be_told(client: Client, bucket: str, prefix: str, query: ListQuery) -> bool:
    """Say whether a common prefix stands for a key that is a client's and comes behind `after`.

    Only one that holds our corner, or the place where the listing begins, needs another look.
    """
    if not OWN.startswith(prefix) and not query.after.startswith(prefix):
        return True
    inside = await list_objects(client, bucket, ListQuery(prefix, after=query.after, limit=1))
    return bool(inside.objects)


async def lots(client: Client, bucket: str, query: ListQuery) -> AsyncIterator[Lot]:
    """Ask for what lies from `after` on, as often as the listing is asked to go on; it steps over our corner."""
    start = _start(query)
    if start is None or has_line_end(query.prefix):
        await ask(client, bucket, {"maxResults": "1"})
        return
    parameters = {"prefix": query.prefix} if query.prefix else {}
    parameters |= {"delimiter": query.delimiter} if query.delimiter and not has_line_end(query.delimiter) else {}
    token, wanted = "", query.limit + 1
    while True:
        lot = await ask(client, bucket, parameters | _place(start, token) | {"maxResults": str(min(wanted, MOST))})
        yield lot
        if not lot.token:
            return
        wanted = max(1, wanted - len(lot.items) - len(lot.prefixes))
        token = lot.token
        if lot.items and lot.items[-1]["name"].startswith(OWN) and not query.prefix.startswith(OWN):
            start, token, wanted = BEHIND_OWN, "", query.limit + 1


async def ask(client: Client, bucket: str, parameters: dict[str, str]) -> Lot:
    """Return what one request gives."""
    url, query = f"{API}{bucket_path(bucket)}/o", {"fields": LISTED, **parameters}
    answer = await client.ask(Request("GET", url, Address(bucket), query))
    return Lot(answer.get("items", []), answer.get("prefixes", []), answer.get("nextPageToken", ""))


def _start(query: ListQuery) -> str | None:
    """Return the first name that may be listed; None if no name can come."""
    after = query.after
    folded = query.delimiter and after.startswith(query.prefix) and after.endswith(query.delimiter)
    if folded and after.find(query.delimiter, len(query.prefix)) == len(after) - len(query.delimiter):
        following = behind(after)  # it is a common prefix, of which nothing more is to be told
        return None if following is None else from_there(following)
    return from_there(after)


def _place(start: str, token: str) -> dict[str, str]:
    if token:
        return {"pageToken": token} | ({"startOffset": start} if start else {})
    return {"startOffset": start} if start else {}
