"""Our own corner of a bucket is in no listing, however that is asked for."""

from itertools import product

import pytest

from gateway.storage import Address, ListQuery
from tests.backends.given import body, folded, keys, put

NAMES = ("!", "-", ".", ".a", ".f", ".gv", ".gw", ".gw-", ".gw0", ".gwx/y", ".h", "a", "a/b")


@pytest.fixture
async def corner(storage, bucket):
    await storage.annotate(Address(bucket), {"owner": "x"})
    for key in ("a", "b"):
        upload = await storage.create_upload(Address(bucket, key))
        await storage.put_part(upload, 1, body(b"part"))
    return bucket


@pytest.mark.parametrize("limit", [1, 2, 1000])
@pytest.mark.parametrize("names", [NAMES[:2] + NAMES[3:], NAMES[:2], (".gx",), (".gw0",), ()], ids=len)
async def test_our_corner_is_in_no_listing(storage, corner, names, limit):
    for name in names:
        await put(storage, Address(corner, name))
    queries = product(("", ".", ".g", ".gw", ".gw/", ".gw/u"), ("", "/", ".", "g", "w", "gw/", "u"), ("", ".", ".gw/x"))
    for prefix, delimiter, after in queries:
        query = ListQuery(prefix, delimiter, after, limit)
        assert await keys(storage, corner, query) == folded(names, query), query


async def test_a_bucket_with_more_keys_than_a_request_can_tell_is_listed_whole(fake, storage, corner):
    names = [f"{number:05}" for number in range(2500)]
    for name in names:
        fake.write(corner, name, b"")
    assert await keys(storage, corner) == names
    page = await storage.list_objects(corner, ListQuery(after=names[1498], limit=1000))
    assert page.last == names[2498]
    assert (await storage.list_objects(corner, ListQuery(after=names[1499], limit=1000))).last == ""
