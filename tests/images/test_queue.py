import asyncio

import pytest

from gateway.images.queue import LEASE, Queue
from gateway.images.scope import Scope
from gateway.storage import Address
from tests.state.databases import KINDS, opened

AT = Address("media", "in/ü.jpg")
OTHER = Address("media", "in/y.jpg")


HERE = Scope({"media": "here"})


@pytest.fixture(params=KINDS)
async def store(request, tmp_path):
    async with opened(request.param, tmp_path) as store:
        yield store


@pytest.fixture
def queue(store):
    return Queue(store, HERE)


async def later(queue, seconds):
    """Have all that is written down be so much longer ago."""
    for table in ("image_job", "image_intent"):
        await queue._store.run(
            lambda tx, table=table: tx.connection.exec_driver_sql(f"UPDATE {table} SET due = due - {seconds}")
        )


async def ended(queue, at=AT, **how):
    intent = await queue.begin(at, 600)
    queue.end(intent, **how)
    await queue.drained()


async def taken(queue, limit=10):
    return await queue.take(limit)


async def done(queue, *jobs):
    for job in jobs:
        queue.done(job)
    await queue.drained()


async def test_a_write_that_was_done_has_its_key_looked_at_once(queue):
    await ended(queue, look=True)
    await ended(queue, look=True)
    [job] = await taken(queue)
    assert (job.at, job.attempts) == (AT, 0)
    assert await taken(queue) == []
    await done(queue, job)
    assert (await queue.waiting()).jobs == 0


async def test_a_write_that_was_not_done_leaves_nothing(queue):
    await ended(queue, look=None)
    assert await taken(queue) == []
    assert (await queue.waiting()) == (0, 0, 0, 0, 0)


async def test_a_write_that_nobody_ended_is_looked_at_in_the_end(queue):
    """The process that began it was killed."""
    await queue.begin(AT, 600)
    await queue.sweep()
    assert await taken(queue) == []
    await later(queue, 601)
    await queue.sweep()
    [job] = await taken(queue)
    assert job.at == AT
    assert (await queue.waiting()).writing == 0


async def test_of_two_writes_at_once_each_is_waited_for(queue):
    first, second = await queue.begin(AT, 600), await queue.begin(AT, 600)
    queue.end(second, look=True)
    await queue.drained()
    [job] = await taken(queue)
    await done(queue, job)
    assert (await queue.waiting()).writing == 1
    queue.end(first, look=True)
    await queue.drained()
    assert [job.at for job in await taken(queue)] == [AT]


async def test_what_happens_while_a_job_is_done_has_it_done_again(queue):
    await ended(queue, look=True)
    [job] = await taken(queue)
    await ended(queue, look=True)
    assert await taken(queue) == []  # one at a time
    await done(queue, job)
    [again] = await taken(queue)
    assert again.stamp != job.stamp


async def test_of_jobs_that_are_ended_together_only_what_changed_is_done_again(queue):
    await queue.add([AT, OTHER])
    jobs = await taken(queue)
    await ended(queue, OTHER, look=True)
    await done(queue, *jobs)
    assert [job.at for job in await taken(queue)] == [OTHER]
    assert (await queue.waiting()).jobs == 1


@pytest.mark.parametrize("how", ["fail", "retry"])
async def test_what_happens_while_a_job_fails_has_it_tried_anew(queue, how):
    await ended(queue, look=True)
    [job] = await taken(queue)
    await ended(queue, look=True)
    await (queue.fail(job, "broken") if how == "fail" else queue.retry(job, "down", 600))
    [again] = await taken(queue)
    assert again.attempts == 0


async def test_a_job_whose_worker_died_is_taken_over(queue):
    await ended(queue, look=True)
    [job] = await taken(queue)
    await later(queue, LEASE + 1)
    [again] = await taken(queue)
    assert again.at == AT
    assert not await queue.renew(job)
    await done(queue, job)
    assert (await queue.waiting()).jobs == 1
    assert await queue.renew(again)


async def test_a_job_that_is_renewed_is_kept(queue):
    await ended(queue, look=True)
    [job] = await taken(queue)
    await later(queue, LEASE - 1)
    assert await queue.renew(job)
    await later(queue, 2)
    assert await taken(queue) == []


async def test_what_failed_for_good_is_told_and_tried_when_the_key_is_written(queue):
    await ended(queue, look=True)
    [job] = await taken(queue)
    await queue.fail(job, "broken")
    assert await taken(queue) == []
    [failed] = await queue.failed(None, 10)
    assert (failed.at, failed.reason) == (AT, "broken")
    assert await queue.failed("other", 10) == []
    assert (await queue.waiting("media")).failed == 1
    await ended(queue, look=True)
    [again] = await taken(queue)
    await done(queue, again)
    assert await queue.failed(None, 10) == []


async def test_what_failed_is_forgotten_when_all_is_as_it_should_be(queue):
    await queue.add([AT, OTHER])
    for job in await taken(queue):
        await queue.fail(job, "broken")
    await ended(queue, look=None)  # the write was not done
    assert {failed.at for failed in await queue.failed(None, 10)} == {AT, OTHER}
    await ended(queue, look=False)
    assert [failed.at for failed in await queue.failed(None, 10)] == [OTHER]


async def test_what_is_still_to_be_done_is_not_forgotten(queue):
    await queue.add([AT])
    await ended(queue, look=False)
    assert (await queue.waiting()).jobs == 1


async def test_a_retry_waits_and_counts(queue):
    await ended(queue, look=True)
    [job] = await taken(queue)
    await queue.retry(job, "ServiceUnavailable", 30)
    assert await taken(queue) == []
    assert (await queue.waiting()).retried == 1
    await later(queue, 31)
    [again] = await taken(queue)
    assert again.attempts == 1


async def test_two_gateways_never_have_the_same_job(store):
    one, two = Queue(store, HERE), Queue(store, HERE)
    await one.add([Address("media", f"in/{n}.jpg") for n in range(50)])
    found = [job.at for jobs in await asyncio.gather(*(queue.take(5) for queue in [one, two] * 5)) for job in jobs]
    assert len(found) == len(set(found)) == 50


ELSEWHERE = {
    "in another place": Scope({"media": "there"}),
    "without images": Scope({"media": None}),
    "without the bucket": Scope({"other": "here"}),
    "with all others in another place": Scope({}, "there"),
    "with all others in the same place, but for this one": Scope({"media": "there"}, "here"),
    "with all others in the same place, but without images of this one": Scope({"media": None}, "here"),
    "without anything": Scope(),
}


@pytest.mark.parametrize("name", ELSEWHERE)
async def test_who_has_a_bucket_elsewhere_leaves_its_images_alone(store, queue, name):
    other = Queue(store, ELSEWHERE[name])
    await queue.add([AT])
    await queue.begin(AT, -1)
    await other.sweep()
    assert await other.take(10) == []
    assert await other.waiting() == (0, 0, 0, 0, 0)
    [job] = await queue.take(10)
    await queue.fail(job, "broken")
    assert await other.failed(None, 10) == []
    assert (await queue.waiting()).failed == 1


@pytest.mark.parametrize(
    "scope", [Scope({"media": "here", "more": None}), Scope({}, "here"), Scope({"a": "b"}, "here")]
)
async def test_who_has_a_bucket_in_the_same_place_shares_its_work(store, queue, scope):
    other = Queue(store, scope)
    await queue.add([AT])
    [job] = await other.take(10)
    assert job.at == AT
    assert (await other.waiting("media")).jobs == 1


async def test_what_nobody_does_any_more_is_forgotten(store, queue):
    gone = Queue(store, Scope({"media": "gone"}))
    await gone.add([AT])
    await queue.add([OTHER])
    await queue.sweep()
    assert (await gone.waiting()).jobs == 1
    await queue._store.run(lambda tx: tx.connection.exec_driver_sql("UPDATE image_job SET since = since - 2678400"))
    await queue.sweep()
    assert ((await gone.waiting()).jobs, (await queue.waiting()).jobs) == (0, 1)


async def test_what_waits_longest_comes_first(queue):
    await queue.add([OTHER])
    await later(queue, 5)
    await queue.add([AT])
    assert [job.at for job in await taken(queue, 1)] == [OTHER]


async def test_old_failures_are_forgotten(queue):
    await queue.add([AT])
    [job] = await taken(queue)
    await queue.fail(job, "broken")
    await queue._store.run(lambda tx: tx.connection.exec_driver_sql("UPDATE image_job SET since = since - 2678400"))
    await queue.sweep()
    assert (await queue.waiting()).failed == 0


async def test_who_waits_for_news_hears_of_them(queue):
    await ended(queue, look=True)
    await asyncio.wait_for(queue.news.wait(), 5)
