"""What a server does in its own way comes to clients as S3 has it, or is refused, never dropped."""

import pytest

from gateway.backends.dialects import DIALECTS
from gateway.backends.s3.backend import open_s3
from gateway.backends.s3.described import completion_conditions, write_conditions
from gateway.conditions import Conditions
from gateway.errors import NoSuchUpload, NotImplementedByGateway, NotModified, PreconditionFailed
from gateway.storage import Address, Completion, ListQuery, Part, ReadOptions, Upload
from tests.backends.given import etag, put, read
from tests.doubles.scripted import answer, error, scripted
from tests.server.harness import ACCESS_KEY, SECRET_KEY

AT = Address("bucket", "key")
MANY = Conditions(if_none_match=("a", "b"))
MATCH = Conditions(if_match=("a",))
TOLD = {"ETag": f'"{etag(b"data")}"', "Last-Modified": "Sat, 21 Nov 2026 09:00:00 GMT"}


def opened(server, dialect="ceph"):
    keys = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
    return open_s3("afar", endpoint=f"http://127.0.0.1:{server.port}", dialect=dialect, **keys)


@pytest.mark.parametrize("name", sorted(DIALECTS))
def test_a_list_of_etags_is_sent_only_to_who_is_known_to_read_it_as_a_list(name):
    if DIALECTS[name].etag_lists and DIALECTS[name].matches_absent_etag:
        assert write_conditions(MANY, DIALECTS[name]) == {"if-none-match": '"a", "b"'}
        return
    with pytest.raises(NotImplementedByGateway):
        write_conditions(MANY, DIALECTS[name])


def test_etags_are_bare_for_who_does_not_unquote_them():
    assert write_conditions(MATCH, DIALECTS["ceph"]) == {"if-match": "a"}
    assert write_conditions(Conditions(if_none_match=("*",)), DIALECTS["ceph"]) == {"if-none-match": "*"}
    assert write_conditions(MATCH, DIALECTS["minio"]) == {"if-match": '"a"'}


@pytest.mark.parametrize("name", sorted(DIALECTS))
def test_a_completion_is_held_to_conditions_or_refused(name):
    if DIALECTS[name].completion_conditions:
        assert completion_conditions(MATCH, DIALECTS[name])
        return
    with pytest.raises(NotImplementedByGateway):
        completion_conditions(MATCH, DIALECTS[name])


async def test_a_listing_is_read_although_a_token_that_nobody_needs_is_no_xml():
    listed = "<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>"
    listed += "<NextContinuationToken>\x01&#x01;</NextContinuationToken><StartAfter>\x02</StartAfter>"
    listed += "<Contents><Key>%01</Key><Size>1</Size><ETag>e</ETag><LastModified>2026-11-21T09:00:00Z</LastModified>"
    listed += "</Contents></ListBucketResult>"
    async with scripted(answer(200, listed)) as server, opened(server) as storage:
        page = await storage.list_objects("bucket", ListQuery())
    assert [info.key for info in page.objects] == ["\x01"]


async def test_an_etag_that_a_completion_does_not_tell_is_computed_and_looked_for():
    parts = [Part(number, etag(b"%d" % number), 5) for number in (1, 2)]
    done = answer(200, "<CompleteMultipartUploadResult><ETag></ETag></CompleteMultipartUploadResult>")
    async with scripted(done, answer(412)) as server, opened(server) as storage:
        made = await storage.complete_upload(Upload(AT, "id"), parts, Completion())
    assert made.etag == etag(bytes.fromhex(parts[0].etag + parts[1].etag)) + "-2"
    assert f'if-match: "{made.etag}"' in server.asked[1]


async def test_an_upload_that_is_unknown_is_named_as_such():
    async with scripted(error(404, "NoSuchKey")) as server, opened(server) as storage:
        with pytest.raises(NoSuchUpload):
            await storage.list_parts(Upload(AT, "id"))


async def test_not_modified_tells_of_what_even_if_the_server_does_not():
    async with scripted(answer(304), answer(200, b"", TOLD)) as server, opened(server) as storage:
        with pytest.raises(NotModified) as caught:
            await storage.head(AT, ReadOptions(conditions=Conditions(if_none_match=(etag(b"data"),))))
    assert caught.value.headers["ETag"] == TOLD["ETag"]


@pytest.mark.parametrize("tags", [("*",), ("other", etag(b"data"))])
async def test_any_one_of_several_etags_may_match_on_servers_that_compare_one(moto, tags):
    async with open_s3(
        "moto", endpoint=f"http://127.0.0.1:{moto}", access_key="TESTKEY", secret_key="test-secret", dialect="minio"
    ) as storage:
        at = Address("dialects", "key")
        if all(info.name != at.bucket for info in await storage.list_buckets()):
            await storage.create_bucket(at.bucket, {})
        await put(storage, at, b"data")
        assert await read(storage, at, ReadOptions(conditions=Conditions(if_match=tags))) == b"data"
        with pytest.raises(NotModified):
            await storage.head(at, ReadOptions(conditions=Conditions(if_none_match=tags)))
        with pytest.raises(PreconditionFailed):
            await storage.head(at, ReadOptions(conditions=Conditions(if_match=("other", "another"))))
