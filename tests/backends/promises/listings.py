"""What is promised of listings."""

from itertools import chain, product
from secrets import token_hex

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.storage import Address, ListQuery
from tests.backends.given import NASTY, folded, in_order, keys, put

TREE = ("asdf", "boo/bar", "boo/baz/xyzzy", "cquux/thud", "cquux/bla")
QUERIES = [
    ListQuery(),
    ListQuery(delimiter="/"),
    ListQuery(prefix="boo"),
    ListQuery(prefix="boo/", delimiter="/"),
    ListQuery(prefix="boo/b", delimiter="/"),
    ListQuery(prefix="boo/bar", delimiter="/"),
    ListQuery(delimiter="a"),
    ListQuery(delimiter="o/b"),
    ListQuery(delimiter="oo"),
    ListQuery(prefix="b", delimiter="oo"),
    ListQuery(delimiter="nowhere"),
    ListQuery(prefix="nowhere"),
    ListQuery(prefix="boo/bar/"),
    ListQuery(after="asdf"),
    ListQuery(after="blah"),
    ListQuery(after="zzz"),
    ListQuery(after="\0"),
    ListQuery(prefix="boo/", after="a"),
    ListQuery(prefix="boo/", after="c"),
    ListQuery(delimiter="/", after="boo/"),
    ListQuery(delimiter="/", after="boo/bar"),
    ListQuery(delimiter="/", after="boo/zzz"),
    ListQuery(delimiter="/", after="boo0"),
    ListQuery(prefix="boo/", delimiter="/", after="boo/"),
    ListQuery(prefix="boo/", delimiter="/", after="boo/baz/"),
]
CHARACTERS = st.sampled_from("ab/-.%~ é\0\n\x7f\ud7ff\ue000\uffff😀\U0010ffff")
NAMES = st.lists(st.text(CHARACTERS, min_size=1, max_size=6), unique=True, max_size=12)
ANYTHING = st.text(CHARACTERS, max_size=3)
DELIMITERS = st.one_of(st.sampled_from(["", "/"]), ANYTHING)
ANY_QUERY = st.builds(ListQuery, ANYTHING, DELIMITERS, ANYTHING, st.integers(1, 4))


async def _fill(storage, bucket, names):
    for name in names:
        await put(storage, Address(bucket, name), name.encode())


class ListingPromises:
    """Pages of keys and common prefixes."""

    async def test_an_empty_bucket_lists_nothing(self, storage, bucket):
        for query in (ListQuery(), ListQuery("a", "/"), ListQuery(after="a"), ListQuery(limit=0)):
            page = await storage.list_objects(bucket, query)
            assert (list(page.objects), list(page.prefixes), page.last) == ([], [], "")

    @pytest.mark.parametrize("limit", [1, 2, 1000])
    @pytest.mark.parametrize("query", QUERIES, ids=str)
    async def test_a_tree_is_listed_page_by_page(self, storage, bucket, query, limit):
        await _fill(storage, bucket, TREE)
        assert await keys(storage, bucket, query._replace(limit=limit)) == folded(TREE, query)

    async def test_a_listing_tells_size_etag_and_time(self, storage, bucket):
        stored = await put(storage, Address(bucket, "a/b"), b"data")
        (listed,) = (await storage.list_objects(bucket, ListQuery())).objects
        assert (listed.size, listed.etag, listed.modified) == (4, stored.etag, stored.modified)

    async def test_keys_and_prefixes_stand_apart(self, storage, bucket):
        await _fill(storage, bucket, TREE)
        page = await storage.list_objects(bucket, ListQuery(delimiter="/"))
        assert [info.key for info in page.objects] == ["asdf"]
        assert list(page.prefixes) == ["boo/", "cquux/"]
        page = await storage.list_objects(bucket, ListQuery(prefix="boo/", delimiter="/", limit=1))
        assert ([info.key for info in page.objects], list(page.prefixes), page.last) == (["boo/bar"], [], "boo/bar")

    async def test_a_full_last_page_ends_the_listing(self, storage, bucket):
        await _fill(storage, bucket, TREE)
        assert (await storage.list_objects(bucket, ListQuery(limit=5))).last == ""
        assert (await storage.list_objects(bucket, ListQuery(delimiter="/", limit=3))).last == ""
        assert (await storage.list_objects(bucket, ListQuery(limit=4))).last == "cquux/bla"
        assert (await storage.list_objects(bucket, ListQuery(delimiter="/", limit=2))).last == "boo/"

    async def test_a_page_of_nothing_is_complete(self, storage, bucket):
        await _fill(storage, bucket, TREE)
        page = await storage.list_objects(bucket, ListQuery(limit=0))
        assert (list(page.objects), list(page.prefixes), page.last) == ([], [], "")

    async def test_the_key_that_is_the_prefix_is_listed_itself(self, storage, bucket):
        await _fill(storage, bucket, ["a", "a/", "a/b", "a/c/d"])
        assert await keys(storage, bucket, ListQuery("a/", "/")) == ["a/", "a/b", "a/c/"]
        assert await keys(storage, bucket, ListQuery("a/", "/", limit=1)) == ["a/", "a/b", "a/c/"]
        assert await keys(storage, bucket, ListQuery("a", "/")) == ["a", "a/"]

    async def test_order_is_that_of_utf8(self, storage, bucket):
        names = ["a", "a-b", "a.b", "a/b", "a0", "a\u00e9", "a\uffff", "a😀", "b", "B", "Ab", "\uffff", "😀"]
        await _fill(storage, bucket, names)
        assert await keys(storage, bucket) == in_order(names)
        assert (await keys(storage, bucket, ListQuery(limit=1)))[-2:] == ["\uffff", "😀"]

    async def test_nasty_keys_are_listed_page_by_page(self, storage, bucket):
        await _fill(storage, bucket, NASTY)
        prefixes = ("", "a", "a/", "/", "//", ".", "..", "../", "%", "k", "d/", "d/d/d/", "é", "😀")
        delimiters = ("", "/", "a", "//", "/x", "%", "😀", "\0", "é")
        one_by_one = product(("", "a", "/"), ("", "/"), (1,))
        for prefix, delimiter, limit in chain(one_by_one, product(prefixes, delimiters, (7, 1000))):
            query = ListQuery(prefix, delimiter, limit=limit)
            assert await keys(storage, bucket, query) == folded(NASTY, query), query

    async def test_a_listing_may_begin_after_anything(self, storage, bucket):
        await _fill(storage, bucket, NASTY)
        odd = ("a/\0", "a/c", "\x02", "zzz", "d/d", "../y", "k" * 255 + "\0", "\ue001", "x" * 1024)
        for after, delimiter in product((*NASTY, *odd), ("", "/", "//")):
            query = ListQuery("", delimiter, after, 3)
            page = await storage.list_objects(bucket, query)
            listed = in_order([*(info.key for info in page.objects), *page.prefixes])
            assert listed == folded(NASTY, query)[:3], query

    @settings(
        max_examples=50,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    @given(names=NAMES, query=ANY_QUERY)
    async def test_any_listing_is_what_the_plainest_model_says(self, storage, names, query):
        bucket = f"model-{token_hex(8)}"
        await storage.create_bucket(bucket, {})
        await _fill(storage, bucket, names)
        assert await keys(storage, bucket, query) == folded(names, query)

    async def test_keys_that_come_and_go_do_not_disturb_the_others(self, storage, bucket):
        names = [f"{number:03}/{number}" for number in range(30)]
        await _fill(storage, bucket, names)
        found, after = [], ""
        for name in [*names[1::2], ""]:
            page = await storage.list_objects(bucket, ListQuery(after=after, limit=2))
            found += [info.key for info in page.objects]
            after = page.last
            if not after:
                break
            await storage.delete(Address(bucket, name))
            await put(storage, Address(bucket, f"{name}/new"))
        assert set(names[0::2]) <= set(found)
        assert found == sorted(set(found))
