"""GetObjectTagging, on memory."""

import pytest

from gateway.errors import AccessDenied, NoSuchKey
from gateway.operations.tagging import get_object_tagging
from gateway.storage import Address
from tests.operations import calls
from tests.operations.answers import as_botocore
from tests.operations.calls import body, call, denying


@pytest.fixture
async def service():
    return await calls.bucket(calls.service())


async def test_an_object_has_no_tags(service):
    await service.storage.put(Address("bucket", "key"), body(b"hello"))

    answer = await get_object_tagging(service, call("GET", "/bucket/key?tagging"))

    assert as_botocore("GetObjectTagging", answer) == {"TagSet": []}


async def test_the_tags_of_a_missing_object_are_not_an_empty_set(service):
    with pytest.raises(NoSuchKey):
        await get_object_tagging(service, call("GET", "/bucket/key?tagging"))


async def test_who_may_not_list_is_not_told_that_an_object_is_missing(service):
    asking = call("GET", "/bucket/key?tagging")
    asking.authorize = denying("")
    with pytest.raises(AccessDenied):
        await get_object_tagging(service, asking)
