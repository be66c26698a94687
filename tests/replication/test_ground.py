import pytest

from gateway.backends.memory import Memory
from gateway.errors import NoSuchBucket, ServiceUnavailable
from gateway.replication.ground import Ground
from gateway.routing.wrapper import Wrapper


class Down(Wrapper):
    async def head_bucket(self, bucket):
        raise ServiceUnavailable


@pytest.fixture
async def primary():
    memory = Memory("P")
    await memory.create_bucket("media", {"owner": "me"})
    return memory


async def named():
    return ["media", "never"]


async def test_a_bucket_that_was_there_before_its_fallback_is_made_there_with_its_labels(primary):
    fallback = Memory("F")
    await Ground(primary, fallback, named).round()
    assert (await fallback.head_bucket("media")).labels == {"owner": "me"}
    with pytest.raises(NoSuchBucket):
        await fallback.head_bucket("never")


async def test_a_bucket_that_is_there_stays_as_it_is(primary):
    fallback = Memory("F")
    await fallback.create_bucket("media", {"owner": "other"})
    await Ground(primary, fallback, named).round()
    assert (await fallback.head_bucket("media")).labels == {"owner": "other"}


async def test_while_the_primary_does_not_answer_nothing_is_made_and_it_is_asked_again(primary):
    fallback = Memory("F")
    with pytest.raises(ServiceUnavailable):
        await Ground(Down(primary), fallback, named).round()
    assert await fallback.list_buckets() == []
