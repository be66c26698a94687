import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gateway.backends.memory import Memory
from gateway.checksums import Checksum
from gateway.errors import AccessDenied, InvalidArgument, NoSuchBucket
from gateway.operations import listing, paging, xml
from gateway.storage import Address, ListPage, ListQuery, ObjectInfo, WriteOptions
from tests.operations.calls import ANYBODY, BOB, body, bucket, call, denying, parsed, service


class Composite(Memory):
    """Lists every object as one made of two parts."""

    async def list_objects(self, bucket: str, query: ListQuery) -> ListPage:
        page = await super().list_objects(bucket, query)
        checksum = Checksum("SHA256", "x-2", composite=True)
        return page._replace(objects=[replace(info, checksum=checksum) for info in page.objects])


KEYS = ["a", "b/1", "b/2", "c d/+", "e"]


@pytest.fixture
async def full():
    return await bucket(service(), keys=KEYS)


async def v1(of, query="", **options) -> dict:
    answer = await listing.list_objects(of, call("GET", f"/bucket?{query}", **options))
    return parsed(answer, "Contents", "CommonPrefixes")


async def v2(of, query="", **options) -> dict:
    answer = await listing.list_objects_v2(of, call("GET", f"/bucket?list-type=2&{query}", **options))
    return parsed(answer, "Contents", "CommonPrefixes")


async def versions(of, query="", **options) -> dict:
    answer = await listing.list_object_versions(of, call("GET", f"/bucket?versions&{query}", **options))
    return parsed(answer, "Version", "CommonPrefixes")


def keys(page: dict, name: str = "Contents") -> list[str]:
    return [entry["Key"] for entry in page.get(name, [])]


def prefixes(page: dict) -> list[str]:
    return [entry["Prefix"] for entry in page.get("CommonPrefixes", [])]


async def test_an_entry_tells_what_s3_tells(full):
    info = await full.storage.head(Address("bucket", "a"))
    (entry, *_) = (await v2(full))["Contents"]
    assert entry.pop("LastModified").endswith(".000Z")
    assert entry == {
        "Key": "a",
        "ETag": f'"{info.etag}"',
        "ChecksumAlgorithm": "CRC64NVME",
        "ChecksumType": "FULL_OBJECT",
        "Size": "1",
        "StorageClass": "STANDARD",
    }


async def test_a_composite_checksum_is_told_as_such():
    of = await bucket(service(Composite()), keys=["a"])
    (entry,) = (await v2(of))["Contents"]
    assert (entry["ChecksumAlgorithm"], entry["ChecksumType"]) == ("SHA256", "COMPOSITE")


async def test_v1_repeats_the_question_with_empty_elements(full):
    page = await v1(full)
    assert keys(page) == KEYS
    assert {name: page[name] for name in ("Name", "Prefix", "Marker", "MaxKeys", "IsTruncated")} == {
        "Name": "bucket",
        "Prefix": None,
        "Marker": None,
        "MaxKeys": "1000",
        "IsTruncated": "false",
    }
    assert not page.keys() & {"Delimiter", "NextMarker", "EncodingType", "CommonPrefixes"}


async def test_v1_tells_the_next_marker_with_a_delimiter_only(full):
    assert "NextMarker" not in await v1(full, "max-keys=2")
    page = await v1(full, "max-keys=2&delimiter=/")
    assert (keys(page), prefixes(page), page["NextMarker"], page["IsTruncated"]) == (["a"], ["b/"], "b/", "true")
    rest = await v1(full, "delimiter=/&marker=b/")
    assert (keys(rest), prefixes(rest), rest["IsTruncated"]) == (["e"], ["c d/"], "false")


async def test_v1_goes_on_after_a_marker_that_is_no_key(full):
    assert keys(await v1(full, "marker=b/11")) == ["b/2", "c d/+", "e"]


async def test_v2_pages_with_opaque_tokens_through_everything(full):
    found, token = [], ""
    while True:
        page = await v2(full, f"max-keys=2&delimiter=/&continuation-token={token}")
        found += keys(page) + prefixes(page)
        assert int(page["KeyCount"]) == len(keys(page)) + len(prefixes(page)) <= 2
        token = page.get("NextContinuationToken", "")
        assert (page["IsTruncated"] == "true") == bool(token)
        if not token:
            break
        assert not set(token) & set("/+ ")
    assert sorted(found) == ["a", "b/", "c d/", "e"]


async def test_v2_prefers_the_token_to_start_after_and_repeats_both(full):
    token = paging.token("b/1")
    page = await v2(full, f"start-after=e&continuation-token={token}")
    assert keys(page) == ["b/2", "c d/+", "e"]
    assert (page["StartAfter"], page["ContinuationToken"]) == ("e", token)


async def test_v2_takes_an_empty_token_for_the_beginning_and_repeats_it(full):
    page = await v2(full, "continuation-token=")
    assert keys(page) == KEYS
    assert "ContinuationToken" in page


@pytest.mark.parametrize("token", ["garbage", "ü", "AQ", "YQ==", paging.token("a")[:-1], paging.token("a") + "=", " "])
async def test_v2_refuses_tokens_that_are_not_its_own(full, token):
    with pytest.raises(InvalidArgument) as caught:
        await v2(full, f"continuation-token={token}")
    assert caught.value.fields["ArgumentName"] == "continuation-token"


@pytest.mark.parametrize("key", ["a", "ü/😀", "a\nb", " ", "k" * 1024])
def test_a_token_carries_any_key(key):
    assert paging.item(paging.token(key)) == key


async def test_v2_refuses_another_list_type(full):
    with pytest.raises(InvalidArgument):
        await listing.list_objects_v2(full, call("GET", "/bucket?list-type=3"))


async def test_url_encoding_is_of_every_name_but_leaves_slashes(full):
    page = await v1(full, "encoding-type=url&delimiter=/&prefix=&marker=%20")
    assert (page["EncodingType"], page["Delimiter"], page["Marker"]) == ("url", "/", "%20")
    assert prefixes(page) == ["b/", "c%20d/"]
    page = await v2(full, "encoding-type=url&prefix=c%20d/&start-after=c%20c")
    assert (keys(page), page["Prefix"], page["StartAfter"]) == (["c%20d/%2B"], "c%20d/", "c%20c")


async def test_v1_repeats_the_prefix_as_it_came_unless_no_parser_could_read_it(full):
    assert (await v1(full, "encoding-type=url&prefix=c%20d/%0A"))["Prefix"] == "c d/\n"
    assert (await v1(full, "encoding-type=url&prefix=%01+"))["Prefix"] == "%01%20"


async def test_url_encoding_carries_what_xml_cannot():
    of = await bucket(service(), keys=["a\x01b", "a\nb"])
    assert keys(await v2(of, "encoding-type=url")) == ["a%01b", "a%0Ab"]


async def test_another_encoding_is_refused(full):
    with pytest.raises(InvalidArgument) as caught:
        await v2(full, "encoding-type=base64")
    assert caught.value.fields == {"ArgumentName": "encoding-type", "ArgumentValue": "base64"}


@pytest.mark.parametrize("query", ["delimiter=", "delimiter=&prefix="])
async def test_an_empty_delimiter_is_none(full, query):
    page = await v1(full, query)
    assert "Delimiter" not in page
    assert keys(page) == KEYS


@pytest.mark.parametrize("value", ["blah", "-1", "1.5", "2147483648", "-", "²", "9" * 5000])
async def test_max_keys_has_to_be_a_number_of_32_bits(full, value):
    for ask in (v1, v2, versions):
        with pytest.raises(InvalidArgument) as caught:
            await ask(full, f"max-keys={value}")
        assert caught.value.fields == {"ArgumentName": "max-keys", "ArgumentValue": value}


async def test_max_keys_is_never_more_than_a_thousand(full):
    assert (await v2(full, "max-keys=2147483647"))["MaxKeys"] == "1000"
    assert (await v2(full, "max-keys="))["MaxKeys"] == "1000"


async def test_max_keys_zero_is_an_empty_listing_of_a_bucket_that_is_there(full):
    page = await v2(full, "max-keys=0")
    assert (keys(page), page["KeyCount"], page["IsTruncated"], page["MaxKeys"]) == ([], "0", "false", "0")
    with pytest.raises(NoSuchBucket):
        await v2(service(), "max-keys=0")


async def test_a_bucket_that_is_not_there_is_told():
    for ask in (v1, v2, versions):
        with pytest.raises(NoSuchBucket):
            await ask(service())


async def test_owners_are_told_by_v1_and_where_v2_is_asked():
    of = await bucket(service(), keys=["a"], owner="someone")
    assert (await v1(of))["Contents"][0]["Owner"] == {"ID": "someone"}
    assert (await v2(of, "fetch-owner=true"))["Contents"][0]["Owner"] == {"ID": "someone"}
    for query in ("", "fetch-owner=false", "fetch-owner="):
        assert "Owner" not in (await v2(of, query))["Contents"][0]


async def test_an_object_belongs_to_its_writer_where_acls_are_kept_and_else_to_the_bucket():
    of = await bucket(service(acls=["bucket"]), keys=["a"])
    options = WriteOptions(labels={"owner": "bob-id", "owner-name": "Bob"})
    await of.storage.put(Address("bucket", "b"), body(b""), options)
    assert [entry["Owner"]["ID"] for entry in (await v1(of))["Contents"]] == ["alice-id", "bob-id"]
    without = service(of.storage)
    assert [entry["Owner"]["ID"] for entry in (await v1(without))["Contents"]] == ["alice-id", "alice-id"]


async def test_a_bucket_made_elsewhere_belongs_to_who_may_list_it():
    of = service()
    await of.storage.create_bucket("bucket", {})
    await of.storage.put(Address("bucket", "a"), body(b""))
    assert (await v1(of, caller=BOB))["Contents"][0]["Owner"] == {"ID": "bob-id", "DisplayName": "Bob"}


async def test_versions_are_each_the_only_one_of_their_key(full):
    page = await versions(full)
    assert keys(page, "Version") == KEYS
    entry = page["Version"][0]
    assert (entry["VersionId"], entry["IsLatest"], entry["Owner"]["ID"]) == ("null", "true", "alice-id")
    assert (page["KeyMarker"], page["VersionIdMarker"]) == (None, None)


async def test_versions_page_with_both_markers(full):
    page = await versions(full, "max-keys=2")
    assert (page["NextKeyMarker"], page["NextVersionIdMarker"]) == ("b/1", "null")
    page = await versions(full, "key-marker=b/1&version-id-marker=null")
    assert keys(page, "Version") == ["b/2", "c d/+", "e"]


async def test_versions_after_a_common_prefix_have_no_version_marker(full):
    page = await versions(full, "max-keys=2&delimiter=/")
    assert page["NextKeyMarker"] == "b/"
    assert "NextVersionIdMarker" not in page


@pytest.mark.parametrize("query", ["version-id-marker=null", "key-marker=a&version-id-marker=other"])
async def test_version_markers_have_to_make_sense(full, query):
    with pytest.raises(InvalidArgument):
        await versions(full, query)


async def test_listing_asks_for_the_prefix_before_anything_else():
    asked = []
    for ask in (v1, v2, versions):
        with pytest.raises(AccessDenied):
            await ask(service(), "prefix=a/", caller=ANYBODY, authorize=denying("a/", asked=asked))
    assert asked == [("list", Address("bucket", "a/"))] * 3


@pytest.mark.parametrize("key", ["plain", "a&b<c>\"d'", "]]>", "tab\tline\n\x01", "\ufffe\U0001f600", "</Key><Key>x"])
@pytest.mark.parametrize("checksum", [None, Checksum("CRC32", "AAAAAA=="), Checksum("<SHA256>", "x-2", composite=True)])
def test_an_object_is_written_as_any_document_is(key, checksum):
    info = ObjectInfo(key, 5, 'e"<&', datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=UTC), checksum=checksum)
    owner = {"ID": "<id>", "DisplayName": "a & b"}
    plain = {
        "Key": key,
        "LastModified": xml.timestamp(info.modified),
        "ETag": f'"{info.etag}"',
        "ChecksumAlgorithm": checksum.algorithm if checksum else None,
        "ChecksumType": checksum.type if checksum else None,
        "Size": 5,
        "Owner": owner,
        "StorageClass": "STANDARD",
    }
    asked = listing.Asked("", "", 1000, str, None)
    written = listing._objects("Contents", asked, ListPage([info, info], ()), lambda _: xml.element("Owner", owner))
    assert xml.document("Page", {"Contents": written}) == xml.document("Page", {"Contents": [plain, plain]})


class Slow(Memory):
    """Tells nothing of a listing before it is asked whose the bucket is: one question after the other never ends."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()

    async def head_bucket(self, bucket):
        self.asked.set()
        return await super().head_bucket(bucket)

    async def list_objects(self, bucket, query):
        await self.asked.wait()
        return await super().list_objects(bucket, query)


@pytest.mark.parametrize("of", [v1, versions])
async def test_the_owner_is_looked_for_while_the_objects_are(of):
    slow = await bucket(service(Slow()), keys=KEYS)
    async with asyncio.timeout(5):
        page = await of(slow)
    assert keys(page, "Contents" if of is v1 else "Version") == KEYS


@pytest.mark.parametrize("of", [v1, versions])
async def test_a_listing_of_a_missing_bucket_names_it(of):
    with pytest.raises(NoSuchBucket):
        await of(service())
