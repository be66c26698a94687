import asyncio
from base64 import b64encode
from hashlib import md5

import pytest

from gateway.backends.memory import Memory
from gateway.checksums import Digest
from gateway.conditions import ANY_STATE, Conditions
from gateway.errors import BadDigest, InvalidRequest, MalformedXML, NoSuchBucket, ServiceUnavailable
from gateway.operations import deleting
from gateway.operations.xml import document
from gateway.storage import Address, ListQuery
from tests.operations.calls import allow, body, bucket, call, denying, parsed, service


class Slow(Memory):
    """Counts how many deletions are under way, and cannot be asked for one key."""

    running = most = 0

    async def delete(self, at: Address, conditions: Conditions = ANY_STATE) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0)
        self.running -= 1
        if at.key == "unreachable":
            raise ServiceUnavailable
        await super().delete(at, conditions)


def crc32(data: bytes) -> dict[str, str]:
    digest = Digest()
    digest.want("CRC32")
    digest.update(data)
    return {"x-amz-checksum-crc32": digest.checksum("CRC32").value}


async def delete(of, *entries: str | dict[str, str], quiet: bool = False, authorize=allow) -> dict:
    objects = [{"Key": entry} if isinstance(entry, str) else entry for entry in entries]
    data = document("Delete", {"Object": objects, "Quiet": quiet})
    asking = call("POST", "/bucket?delete", data, headers=crc32(data), authorize=authorize)
    return parsed(await deleting.delete_objects(of, asking), "Deleted", "Error")


async def left(of) -> list[str]:
    return [info.key for info in (await of.storage.list_objects("bucket", ListQuery())).objects]


async def test_named_objects_are_deleted_and_told_in_the_order_of_the_request():
    of = await bucket(service(), keys=["a", "b", " c ", "d&\n"])
    told = await delete(of, "d&\n", "a", " c ", "never there")
    assert told == {"Deleted": [{"Key": "d&\n"}, {"Key": "a"}, {"Key": " c "}, {"Key": "never there"}]}
    assert await left(of) == ["b"]


async def test_quiet_tells_errors_only():
    of = await bucket(service(), keys=["a", "b"])
    assert await delete(of, "a", quiet=True) == {}
    told = await delete(of, "b", quiet=True, authorize=denying("b"))
    assert [error["Code"] for error in told["Error"]] == ["AccessDenied"]


async def test_each_key_is_asked_for_and_what_is_denied_stays():
    of = await bucket(service(), keys=["a", "b", "c"])
    asked = []
    told = await delete(of, "a", "b", "c", authorize=denying("b", asked=asked))
    assert sorted(asked) == [("delete", Address("bucket", key)) for key in "abc"]
    assert told["Deleted"] == [{"Key": "a"}, {"Key": "c"}]
    assert told["Error"] == [{"Key": "b", "Code": "AccessDenied", "Message": "Access Denied"}]
    assert await left(of) == ["b"]


async def test_the_only_version_may_be_named_and_no_other():
    of = await bucket(service(), keys=["a", "b"])
    told = await delete(of, {"Key": "a", "VersionId": "null"}, {"Key": "b", "VersionId": "other"})
    assert told["Deleted"] == [{"Key": "a", "VersionId": "null"}]
    assert (told["Error"][0]["Key"], told["Error"][0]["VersionId"]) == ("b", "other")
    assert told["Error"][0]["Code"] == "NoSuchVersion"
    assert await left(of) == ["b"]


async def test_an_object_is_deleted_if_it_has_the_etag_named():
    of = await bucket(service(), keys=["a", "b", "c"])
    etag = (await of.storage.head(Address("bucket", "a"))).etag
    told = await delete(
        of,
        {"Key": "a", "ETag": f'"{etag}"'},
        {"Key": "b", "ETag": etag},
        {"Key": "c", "ETag": "*"},
        {"Key": "none", "ETag": "*"},
    )
    assert [entry["Key"] for entry in told["Deleted"]] == ["a", "c"]
    assert [(error["Key"], error["Code"]) for error in told["Error"]] == [
        ("b", "PreconditionFailed"),
        ("none", "NoSuchKey"),
    ]
    assert await left(of) == ["b"]


@pytest.mark.parametrize(("etag", "verbs"), [("x", ["delete", "read"]), ("*", ["delete"])])
async def test_a_condition_on_an_etag_takes_the_right_to_read(etag, verbs):
    asked = []
    of = await bucket(service(), keys=["a"])
    await delete(of, {"Key": "a", "ETag": etag}, authorize=denying(asked=asked))
    assert [verb for verb, _ in asked] == verbs


@pytest.mark.parametrize("condition", ["Size", "LastModifiedTime"])
async def test_conditions_of_directory_buckets_are_refused(condition):
    of = await bucket(service(), keys=["a"])
    told = await delete(of, {"Key": "a", condition: "1"})
    assert told["Error"][0]["Code"] == "NotImplemented"
    assert await left(of) == ["a"]


async def test_a_key_that_is_too_long_is_told():
    of = await bucket(service(), keys=["a"])
    told = await delete(of, "ü" * 513, "a")
    assert told["Error"][0]["Code"] == "KeyTooLongError"
    assert await left(of) == []


async def test_what_the_storage_cannot_do_is_told_by_key_and_the_rest_is_done():
    of = await bucket(service(Slow()), keys=["a", "b"])
    told = await delete(of, "a", "unreachable", "b")
    assert [error["Code"] for error in told["Error"]] == ["ServiceUnavailable"]
    assert await left(of) == []


async def test_a_thousand_keys_are_deleted_a_few_at_a_time():
    keys = [f"key-{number}" for number in range(1000)]
    storage = Slow()
    of = await bucket(service(storage), keys=keys)
    assert [entry["Key"] for entry in (await delete(of, *keys))["Deleted"]] == keys
    assert await left(of) == []
    assert 1 < storage.most <= 16


async def test_a_thousand_keys_of_full_length_fit():
    of = await bucket(service())
    keys = [f"{number:04}&" + "ü" * 509 + "x" for number in range(1000)]
    assert {len(key.encode()) for key in keys} == {1024}
    assert len((await delete(of, *keys))["Deleted"]) == 1000


@pytest.mark.parametrize("count", [0, 1001])
async def test_none_or_more_than_a_thousand_are_refused(count):
    of = await bucket(service(), keys=["key-1"])
    with pytest.raises(MalformedXML):
        await delete(of, *[f"key-{number}" for number in range(count)])
    assert await left(of) == ["key-1"]


@pytest.mark.parametrize("entry", [{"Key": ""}, {"VersionId": "null"}])
async def test_an_entry_has_to_name_a_key(entry):
    of = await bucket(service(), keys=["a"])
    with pytest.raises(MalformedXML):
        await delete(of, "a", entry)
    assert await left(of) == ["a"]


async def test_a_bucket_that_is_not_there_is_told():
    with pytest.raises(NoSuchBucket):
        await delete(service(), "a")


async def test_the_body_has_to_carry_a_checksum():
    of = await bucket(service(), keys=["a"])
    data = document("Delete", {"Object": [{"Key": "a"}]})
    digest = {"Content-MD5": b64encode(md5(data).digest()).decode()}
    with pytest.raises(InvalidRequest):
        await deleting.delete_objects(of, call("POST", "/bucket?delete", data))
    assert await left(of) == ["a"]
    await deleting.delete_objects(of, call("POST", "/bucket?delete", data, headers=digest))
    assert await left(of) == []


async def test_a_trailer_is_a_checksum_too():
    of = await bucket(service(), keys=["a"])
    data = document("Delete", {"Object": [{"Key": "a"}]})
    upload = body(data)
    upload.trailers |= crc32(data)
    asking = call("POST", "/bucket?delete", upload, headers={"x-amz-trailer": "x-amz-checksum-crc32"})
    await deleting.delete_objects(of, asking)
    assert await left(of) == []


@pytest.mark.parametrize("headers", [{"Content-MD5": b64encode(bytes(16)).decode()}, crc32(b"another")])
async def test_a_wrong_checksum_deletes_nothing(headers):
    of = await bucket(service(), keys=["a"])
    data = document("Delete", {"Object": [{"Key": "a"}]})
    with pytest.raises(BadDigest):
        await deleting.delete_objects(of, call("POST", "/bucket?delete", data, headers=headers))
    assert await left(of) == ["a"]
