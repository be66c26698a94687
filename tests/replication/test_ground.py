import pytest

from gateway.backends.memory import Memory
from gateway.errors import NoSuchBucket, ServiceUnavailable
from gateway.replication.ground import Ground
from gateway.routing.wrapper import Wrapper
from tests.replication.given import journal


class Down(Wrapper):
    async def head_bucket(self, bucket):
        raise ServiceUnavailable


class NoBuckets(Wrapper):
    async def create_bucket(self, bucket, labels):
        raise ServiceUnavailable


@pytest.fixture
async def primary():
    memory = Memory("P")
    await memory.create_bucket("media", {"owner": "me"})
    return memory


async def named():
    return ["media", "never"]


async def test_a_bucket_that_was_there_before_its_fallback_is_made_there_with_its_labels(timed, primary):
    fallback = Memory("F")
    await Ground(journal(timed), primary, fallback, named).round()
    assert (await fallback.head_bucket("media")).labels == {"owner": "me"}
    with pytest.raises(NoSuchBucket):
        await fallback.head_bucket("never")


async def test_a_bucket_that_is_there_stays_as_it_is(timed, primary):
    fallback = Memory("F")
    await fallback.create_bucket("media", {"owner": "other"})
    await Ground(journal(timed), primary, fallback, named).round()
    assert (await fallback.head_bucket("media")).labels == {"owner": "other"}


async def test_while_the_primary_does_not_answer_nothing_is_made_and_it_is_asked_again(timed, primary):
    fallback = Memory("F")
    with pytest.raises(ServiceUnavailable):
        await Ground(journal(timed), Down(primary), fallback, named).round()
    assert await fallback.list_buckets() == []


async def test_what_the_primary_has_is_known_and_that_there_is_nothing_else(timed, primary):
    here = journal(timed)
    assert (await here.buckets.every())[1] is False
    await Ground(here, primary, Memory("F"), named).round()
    records, is_complete = await here.buckets.every()
    assert (list(records), is_complete) == (["media"], True)


async def test_while_the_primary_does_not_answer_it_is_not_known_that_there_is_nothing_else(timed, primary):
    here = journal(timed)
    with pytest.raises(ServiceUnavailable):
        await Ground(here, Down(primary), Memory("F"), named).round()
    assert (await here.buckets.every())[1] is False


async def test_what_is_known_is_so_even_if_the_fallback_does_not_answer(timed, primary):
    here = journal(timed)
    with pytest.raises(ServiceUnavailable):
        await Ground(here, primary, NoBuckets(Memory("F")), named).round()
    assert (await here.buckets.every())[1] is True
