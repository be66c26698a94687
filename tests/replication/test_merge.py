"""A storage's listing with the journal's changes is what the plainest model says."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.backends.memory import Memory
from gateway.replication import merge
from gateway.replication.merge import Change, merged
from gateway.replication.records import UNSET
from gateway.storage import Address, ListPage, ListQuery, ObjectInfo
from tests.backends.given import folded, keys, put
from tests.backends.promises.listings import ANYTHING, CHARACTERS, DELIMITERS, NAMES

WHEN = datetime(2026, 1, 2, tzinfo=UTC)
QUERY = st.builds(ListQuery, ANYTHING, DELIMITERS, ANYTHING, st.integers(1, 4))


def info(key, etag="new"):
    return ObjectInfo(key, 3, etag, WHEN)


class Both:
    """A storage and changes of it, listed as one; both may be read in small pages only."""

    def __init__(self, storage, changes, chunk=2):
        self.storage, self.chunk = storage, chunk
        self.changes = [Change(key, changes[key]) for key in sorted(changes)]
        self.asked = []

    async def list_objects(self, bucket, query):
        async def listing(inner):
            self.asked.append(inner)
            return await self.storage.list_objects(bucket, inner._replace(limit=min(inner.limit, self.chunk)))

        async def changes(after, inclusive, limit):
            found = [c for c in self.changes if c.key > after or (inclusive and c.key == after)]
            return [c for c in found if c.key.startswith(query.prefix)][:limit]

        return await merged(listing, changes, query)


async def both(names, changes):
    storage = Memory()
    await storage.create_bucket("b", {})
    for name in names:
        await put(storage, Address("b", name), b"old")
    return Both(storage, changes)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    monkeypatch.setattr(merge, "CHUNK", 2)


@settings(max_examples=300, deadline=None, database=None)
@given(
    names=NAMES,
    more=st.dictionaries(st.text(CHARACTERS, min_size=1, max_size=6), st.sampled_from(["put", "deleted", "unknown"])),
    fate=st.lists(st.sampled_from(["kept", "deleted", "put", "unknown"]), min_size=12, max_size=12),
    query=QUERY,
)
async def test_any_merged_listing_is_what_the_plainest_model_says(names, more, fate, query):
    fates = more | {name: kind for name, kind in zip(names, fate, strict=False) if kind != "kept"}
    known = {"put": info, "deleted": lambda _: None, "unknown": lambda _: UNSET}
    storage = await both(names, {name: known[kind](name) for name, kind in fates.items()})
    left = {name for name in names if fates.get(name) != "deleted"}
    left |= {name for name, kind in fates.items() if kind == "put"}
    assert await keys(storage, "b", query) == folded(left, query)


async def page(storage, query=ListQuery()) -> ListPage:
    return await storage.list_objects("b", query)


async def test_what_was_written_replaces_what_the_storage_tells():
    found = await page(await both(["a", "b", "c"], {"b": info("b")}))
    assert [(i.key, i.etag == "new") for i in found.objects] == [("a", False), ("b", True), ("c", False)]


async def test_a_prefix_with_nothing_left_under_it_is_not_listed():
    storage = await both(["a/1", "a/2", "a/3", "b"], dict.fromkeys(["a/1", "a/2", "a/3"]))
    found = await page(storage, ListQuery(delimiter="/"))
    assert ([i.key for i in found.objects], list(found.prefixes)) == (["b"], [])


async def test_a_prefix_of_which_one_key_is_left_is_listed():
    storage = await both(["a/1", "a/2", "a/3"], dict.fromkeys(["a/1", "a/2"]))
    assert list((await page(storage, ListQuery(delimiter="/"))).prefixes) == ["a/"]
    storage = await both(["a/1", "a/2", "a/3"], dict.fromkeys(["a/1", "a/2", "a/3"]) | {"a/4": info("a/4")})
    assert list((await page(storage, ListQuery(delimiter="/"))).prefixes) == ["a/"]


async def test_keys_under_a_prefix_are_passed_by_without_being_read(monkeypatch):
    storage = await both([], {f"a/{n:03}": info(f"a/{n:03}") for n in range(100)} | {"b": info("b")})
    read = []

    async def changes(after, inclusive, limit):
        found = [c for c in storage.changes if c.key > after or (inclusive and c.key == after)][:limit]
        read.extend(found)
        return found

    async def listing(query):
        return ListPage([], [])

    found = await merged(listing, changes, ListQuery(delimiter="/"))
    assert ([i.key for i in found.objects], list(found.prefixes)) == (["b"], ["a/"])
    assert len(read) < 10


async def test_a_key_that_is_healed_while_it_is_listed_is_not_lost():
    """It leaves the journal for the storage, between two looks at them."""
    storage = await both(["a", "x"], {f"k{n}": info(f"k{n}") for n in range(6)})
    healed = []

    async def changes(after, inclusive, limit):
        found = [c for c in storage.changes if c.key > after or (inclusive and c.key == after)][:limit]
        for change in [c for c in storage.changes if c.key > after][limit : limit + 1]:
            await put(storage.storage, Address("b", change.key), b"old")
            storage.changes.remove(change)
            healed.append(change.key)
        return found

    async def listing(query):
        return await storage.storage.list_objects("b", query)

    found = await merged(listing, changes, ListQuery())
    assert healed
    assert [i.key for i in found.objects] == ["a", *(f"k{n}" for n in range(6)), "x"]


async def test_the_storage_is_asked_alone_where_nothing_is_known_better():
    storage = await both(["a", "b"], {})
    await page(storage, ListQuery(limit=7))
    assert storage.asked == [ListQuery(limit=7)]
