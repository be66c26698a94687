from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gateway.errors import NoSuchUpload
from gateway.replication.records import (
    SOURCE_MISSING,
    Baseline,
    Begun,
    Kind,
    Mode,
    Outcome,
    Replica,
    Trash,
    new_id,
    staged_key,
)
from gateway.storage import Address, UploadQuery, WriteOptions
from tests.replication.given import (
    AGES,
    KEY,
    NOTHING,
    TARGETS,
    TIMING,
    UP,
    committed,
    failed_over,
    info,
    journal,
    settled,
)

HOLD = TIMING.hold


@pytest.fixture
async def here(store):
    here = journal(store, targets=["copy"])
    await here.beat(NOTHING, automatic=False)
    await here.set_baseline("copy", Baseline.COMPLETE)
    return here


async def wrote(here, at=KEY, kind=Kind.PUT, **options):
    """Have a client write the primary."""
    op = await here.begin(at, kind)
    await settled(here, (op, Outcome.APPLIED, info(at.key, **options) if kind is Kind.PUT else None))


async def claimed(here, target="copy"):
    """Claim the one task there is."""
    [claim] = await here.claim_tasks(target, 10)
    return claim


async def is_clean(here, at=KEY, target="copy"):
    return target not in (await here.look(at)).dirty


async def test_a_key_that_was_mirrored_is_clean(here):
    await wrote(here)
    assert not await is_clean(here)
    assert await here.mirrored(await claimed(here), Outcome.APPLIED)
    assert await is_clean(here)


async def test_a_hundred_writes_of_a_key_are_one_task(here):
    for _ in range(100):
        await wrote(here)
    assert (await here.lag())["copy"].pending == 1
    assert await here.mirrored(await claimed(here), Outcome.APPLIED)
    assert (await here.lag())["copy"].pending == 0


async def test_a_key_that_was_written_meanwhile_is_not_clean(here):
    await wrote(here)
    claim = await claimed(here)
    await wrote(here)
    assert await here.claim_tasks("copy", 10) == []
    assert not await here.mirrored(claim, Outcome.APPLIED)
    assert not await is_clean(here)
    assert await here.mirrored(await claimed(here), Outcome.APPLIED)


async def test_a_mirroring_of_unknown_outcome_taints_the_key_for_hold(store, here):
    await wrote(here)
    assert not await here.mirrored(await claimed(here), Outcome.UNKNOWN)
    store.later(HOLD / 2)
    assert not await here.mirrored(await claimed(here), Outcome.APPLIED)
    assert await here.claim_tasks("copy", 10) == []
    store.later(HOLD / 2 + 1)
    assert await here.mirrored(await claimed(here), Outcome.APPLIED)


async def test_a_mirroring_counts_by_when_it_was_claimed_not_by_when_it_ended(store, here):
    await wrote(here)
    await here.mirrored(await claimed(here), Outcome.UNKNOWN)
    store.later(HOLD - 1)
    claim = await claimed(here)
    store.later(2)
    assert not await here.mirrored(claim, Outcome.APPLIED)


async def test_a_tainted_key_that_is_written_is_mirrored_at_once(store, here):
    await wrote(here)
    await here.mirrored(await claimed(here), Outcome.UNKNOWN)
    store.later(HOLD / 2)
    assert not await here.mirrored(await claimed(here), Outcome.APPLIED)
    await wrote(here)
    assert not await here.mirrored(await claimed(here), Outcome.APPLIED)


async def test_who_takes_over_a_task_whose_lease_ran_out_taints_the_key(store, here):
    await wrote(here)
    await claimed(here)
    store.later(TIMING.worker_lease + 1)
    assert not await here.mirrored(await claimed(here), Outcome.APPLIED)
    store.later(HOLD + 1)
    assert await here.mirrored(await claimed(here), Outcome.APPLIED)


@pytest.mark.parametrize("outcome", [Outcome.APPLIED, Outcome.UNKNOWN])
async def test_who_has_lost_a_task_and_may_have_written_makes_the_key_dirty_and_taints_it(store, here, outcome):
    await wrote(here)
    late = await claimed(here)
    await here.release(late, 0.0)
    assert await here.mirrored(await claimed(here), Outcome.APPLIED)
    assert await is_clean(here)
    assert not await here.mirrored(late, outcome)
    assert not await is_clean(here)
    assert not await here.mirrored(await claimed(here), Outcome.APPLIED)
    store.later(HOLD + 1)
    assert await here.mirrored(await claimed(here), Outcome.APPLIED)


async def test_who_has_lost_a_task_and_has_not_written_taints_nothing(here):
    await wrote(here)
    late = await claimed(here)
    await here.release(late, 0.0)
    assert await here.mirrored(await claimed(here), Outcome.APPLIED)
    assert not await here.mirrored(late, Outcome.REFUSED)
    assert await is_clean(here)


async def test_a_taint_of_one_mirror_is_not_another_s(store):
    here = journal(store)
    await wrote(here)
    late, other = await claimed(here), await claimed(here, "vault")
    await here.release(late, 0.0)
    assert await here.mirrored(await claimed(here), Outcome.APPLIED)
    await here.mirrored(late, Outcome.UNKNOWN)
    assert await here.mirrored(other, Outcome.APPLIED)
    assert (await here.lag())["vault"].pending == 0


async def test_a_delete_is_not_forgotten_for_a_repair(here):
    await wrote(here, kind=Kind.DELETE)
    await here.mark("copy", [KEY])
    assert (await claimed(here)).kind is Kind.DELETE


async def test_a_repair_that_meets_a_write_under_way_is_done_again(here):
    await here.mark("copy", [KEY])
    claim = await claimed(here)
    assert claim.kind is Kind.COPY
    await wrote(here, kind=Kind.DELETE)
    assert not await here.mirrored(claim, Outcome.APPLIED)
    assert (await claimed(here)).kind is Kind.DELETE


async def test_a_repair_is_for_one_mirror(store):
    here = journal(store)
    await here.mark("vault", [KEY, Address("media", "other")])
    assert await here.claim_tasks("copy", 10) == []
    assert len(await here.claim_tasks("vault", 10)) == 2


async def test_a_claim_tells_whether_a_client_is_writing_the_key(here):
    await wrote(here)
    await wrote(here, Address("media", "other"))
    await here.begin(KEY, Kind.DELETE)
    claims = {claim.at: claim.in_flight for claim in await here.claim_tasks("copy", 10)}
    assert claims == {KEY: True, Address("media", "other"): False}


async def test_a_claim_holds_the_row_that_is_newer_than_the_primary(store):
    here = await failed_over(store)
    row = await committed(here)
    assert (await claimed(here)).row == row
    assert (await claimed(here, "vault")).row == row


async def test_tasks_are_claimed_by_one_worker_and_the_oldest_first(store, here):
    for number in range(5):
        await wrote(here, Address("media", f"{9 - number}"))
    other = journal(store, "other", targets=["copy"])
    first, second = await here.claim_tasks("copy", 2), await other.claim_tasks("copy", 10)
    assert [claim.at.key for claim in first] == ["9", "8"]
    assert [claim.at.key for claim in second] == ["7", "6", "5"]


async def test_a_paused_mirror_is_not_worked_for_but_nothing_is_forgotten(here):
    await here.pause("copy")
    await wrote(here)
    assert await here.replica("copy") == Replica(Baseline.COMPLETE, paused=True)
    assert await here.claim_tasks("copy", 10) == []
    await here.pause("copy", paused=False)
    assert (await claimed(here)).at == KEY


async def test_a_mirror_that_was_never_heard_of_has_been_given_nothing(here):
    assert await here.replica("new") == Replica(Baseline.NONE, paused=False)


@pytest.mark.usefixtures("longest_waits")
async def test_a_failed_task_is_tried_again_ever_later_even_if_it_is_written(store, here):
    await wrote(here)
    for _ in range(8):
        claim = await claimed(here)
        assert not await here.mirrored(claim, Outcome.REFUSED, "SlowDown")
        store.later(TIMING.backoff_limit)
    await here.mirrored(await claimed(here), Outcome.REFUSED, "SlowDown")
    await wrote(here)
    assert await here.claim_tasks("copy", 10) == []
    store.later(TIMING.backoff_limit)
    assert await here.mirrored(await claimed(here), Outcome.APPLIED)


async def hopeless(store, here):
    await wrote(here)
    for _ in range(TIMING.dead_failures):
        await here.mirrored(await claimed(here), Outcome.REFUSED, "AccessDenied", permanent=True)
        store.later(TIMING.dead_after / (TIMING.dead_failures - 1) + 1)


async def test_what_fails_for_good_is_given_up_and_stays_dirty(store, here):
    await hopeless(store, here)
    store.later(AGES)
    assert await here.claim_tasks("copy", 10) == []
    assert not await is_clean(here)
    [dead] = await here.dead("copy")
    assert (dead.at, dead.target, dead.error) == (KEY, "copy", "AccessDenied")
    assert (await here.lag())["copy"].dead == 1
    assert await here.dead("vault") == []


async def test_what_fails_for_good_is_not_given_up_too_quickly(store):
    here = journal(store, targets=["copy"], timing=replace(TIMING, backoff_limit=1.0))
    await wrote(here)
    for _ in range(TIMING.dead_failures * 3):
        await here.mirrored(await claimed(here), Outcome.REFUSED, "AccessDenied", permanent=True)
        store.later(1)
    assert await here.dead("copy") == []
    store.later(TIMING.dead_after)
    await here.mirrored(await claimed(here), Outcome.REFUSED, "AccessDenied", permanent=True)
    assert len(await here.dead("copy")) == 1


async def test_what_fails_for_now_is_never_given_up(store, here):
    await wrote(here)
    for _ in range(TIMING.dead_failures * 3):
        await here.mirrored(await claimed(here), Outcome.REFUSED, "SlowDown")
        store.later(TIMING.dead_after)
    assert await here.dead("copy") == []


async def test_what_was_given_up_is_tried_again_when_it_is_revived(store, here):
    await hopeless(store, here)
    assert await here.revive("copy") == 1
    assert await here.mirrored(await claimed(here), Outcome.APPLIED)
    assert await here.revive("copy") == 0


async def test_what_was_given_up_is_tried_again_when_it_is_written(store, here):
    await hopeless(store, here)
    await wrote(here)
    assert await here.dead("copy") == []
    assert await here.mirrored(await claimed(here), Outcome.APPLIED)


async def test_what_was_given_up_is_not_tried_again_for_a_repair(store, here):
    await hopeless(store, here)
    await here.mark("copy", [KEY])
    assert len(await here.dead("copy")) == 1
    assert await here.claim_tasks("copy", 10) == []


async def test_a_released_task_comes_again_when_it_was_said(store, here):
    await wrote(here)
    await here.release(await claimed(here), 30.0)
    store.later(29)
    assert await here.claim_tasks("copy", 10) == []
    store.later(1)
    assert (await claimed(here)).attempts == 0


async def test_a_task_lasts_longer_for_who_renews_it(store, here):
    await wrote(here)
    claim = await claimed(here)
    store.later(TIMING.worker_lease - 1)
    assert await here.renew(claim)
    store.later(TIMING.worker_lease - 1)
    assert await here.claim_tasks("copy", 10) == []
    assert await here.mirrored(claim, Outcome.APPLIED)
    assert await here.renew(claim) is None


async def test_an_operator_is_told_how_far_a_mirror_is_behind(store):
    here = journal(store)
    await wrote(here, size=5)
    store.later(60)
    await wrote(here, Address("media", "other"), size=7)
    store.later(60)
    assert await here.mirrored((await here.claim_tasks("vault", 1))[0], Outcome.APPLIED)
    lag = await here.lag()
    assert (lag["copy"].pending, lag["copy"].bytes, lag["vault"].pending, lag["vault"].bytes) == (2, 12, 1, 7)
    assert 120 <= lag["copy"].oldest < 150
    assert 60 <= lag["vault"].oldest < 90


async def test_how_far_a_mirror_is_behind_does_not_start_anew_with_each_write(store, here):
    await wrote(here)
    store.later(60)
    await wrote(here)
    assert (await here.lag())["copy"].oldest >= 60


# --- listings while the primary is down ---


async def test_keys_that_mirrors_lack_are_told_with_what_is_known_of_them(store):
    here = journal(store)
    deleted, unknown, repaired, written = [Address("media", name) for name in "cbda"]
    await wrote(here, written, size=5)
    await wrote(here, deleted, kind=Kind.DELETE)
    await here.begin(unknown, Kind.PUT)
    await here.mark("vault", [repaired])
    await wrote(here, Address("other", "a"))
    found = await here.dirty_keys("media")
    assert [(item.key, item.targets, item.certain) for item in found] == [
        ("a", {*TARGETS}, True),
        ("b", {*TARGETS}, False),
        ("c", {*TARGETS}, True),
        ("d", {"vault"}, False),
    ]
    assert found[0].info == info("a", size=5)
    assert [item.info for item in found[1:]] == [None] * 3


async def test_keys_that_mirrors_lack_are_told_within_a_span(here):
    for name in ("a/1", "a/2", "a/3", "b"):
        await wrote(here, Address("media", name))
    assert [item.key for item in await here.dirty_keys("media", "a/", "a/1", 1)] == ["a/2"]
    assert [item.key for item in await here.dirty_keys("media", "a/", "a/2", inclusive=True)] == ["a/2", "a/3"]


async def test_of_what_was_swept_nothing_is_certain(store, here):
    op = await here.begin(KEY, Kind.DELETE)
    await settled(here, (op, Outcome.UNKNOWN))
    store.later(AGES)
    await here.sweep()
    [item] = await here.dirty_keys("media")
    assert (item.certain, item.info) == (False, None)


# --- buckets ---


async def test_a_bucket_of_which_something_is_written_down_is_known(store, here):
    assert not await here.has_any("media")
    await here.begin(Address("ops", "k"), Kind.PUT)
    await wrote(here, Address("tasks", "k"))
    await here.begin_upload(upload("u", Address("uploads", "k")))
    away = await failed_over(store, targets=[])
    await away.bury([Address("rows", "k")])
    for bucket in ("ops", "tasks", "uploads", "rows"):
        assert await here.has_any(bucket)
    assert not await here.has_any("media")
    assert not await journal(store, route="elsewhere").has_any("rows")


# --- uploads ---


def upload(upload_id, at=KEY):
    options = WriteOptions(
        {"content-type": "a/b"}, {"colour": "blå"}, {"owner": "me"}, checksum="SHA256", composite=True
    )
    return Begun(upload_id, at, "inner", staged_key(upload_id), datetime(2026, 1, 2, tzinfo=UTC), options)


async def test_an_upload_is_found_as_it_was_begun_until_it_is_ended(here):
    begun = upload(new_id())
    await here.begin_upload(begun)
    assert await here.find_upload(begun.id) == begun
    assert await here.end_upload(begun.id)
    assert await here.find_upload(begun.id) is None
    assert not await here.end_upload(begun.id)


async def test_uploads_come_by_key_and_age(here):
    ids = [new_id() for _ in range(4)]
    ids.sort()
    for upload_id, name in zip(ids, ("b", "a", "b", "c/1"), strict=True):
        await here.begin_upload(upload(upload_id, Address("media", name)))

    async def found(**query):
        return [begun.id for begun in await here.uploads("media", UploadQuery(**query))]

    assert await found() == [ids[1], ids[0], ids[2], ids[3]]
    assert await found(prefix="b") == [ids[0], ids[2]]
    assert await found(after="a", limit=1) == [ids[0]]
    assert await found(after="b") == [ids[3]]
    assert await found(after="b", after_id=ids[0]) == [ids[2], ids[3]]


async def test_what_an_aborted_upload_staged_is_deleted_after_hold(store, here):
    begun = upload(new_id())
    await here.begin_upload(begun)
    await here.end_upload(begun.id)
    store.later(HOLD + 1)
    assert await here.sweep() == [Trash("disk", Address(KEY.bucket, begun.staged))]


async def test_an_upload_is_committed_once_and_what_it_staged_is_kept(store):
    here = await failed_over(store)
    begun = upload(new_id())
    await here.begin_upload(begun)
    first, second = [await here.begin(KEY, Kind.PUT, on_fallback=True, staged=begun.staged) for _ in range(2)]
    assert first.staged == begun.staged
    await here.commit(first, info(), upload=begun.id)
    with pytest.raises(NoSuchUpload):
        await here.commit(second, info(), upload=begun.id)
    await settled(here, (second, Outcome.REFUSED))
    assert await here.find_upload(begun.id) is None
    store.later(AGES)
    assert await here.sweep() == []


async def test_a_completion_that_was_swept_leaves_its_upload_to_be_completed_again(store):
    here = await failed_over(store)
    begun = upload(new_id())
    await here.begin_upload(begun)
    await here.begin(KEY, Kind.PUT, on_fallback=True, staged=begun.staged)
    store.later(AGES)
    assert await here.sweep() == []
    again = await here.begin(KEY, Kind.PUT, on_fallback=True, staged=begun.staged)
    row = await here.commit(again, info(), upload=begun.id)
    store.later(AGES)
    assert await here.sweep() == []
    assert (await here.look(KEY)).row == row


async def test_an_upload_that_is_ended_while_it_is_completed_keeps_its_object_until_that_is_over(store):
    here = await failed_over(store)
    begun = upload(new_id())
    await here.begin_upload(begun)
    op = await here.begin(KEY, Kind.PUT, on_fallback=True, staged=begun.staged)
    await here.end_upload(begun.id)
    store.later(HOLD + 1)
    await here.beat(UP, automatic=False)
    assert await here.sweep() == []
    await settled(here, (op, Outcome.REFUSED))
    store.later(HOLD + 1)
    assert await here.sweep() == [Trash("disk", Address(KEY.bucket, begun.staged))]
    assert (await here.state()).mode is Mode.FAILOVER


async def kept(store, here):
    """Have a mirror keep an object of which the primary knows nothing, for ages."""
    await here.mark("copy", [KEY])
    store.later(AGES)
    await here.mirrored(await claimed(here), Outcome.REFUSED, SOURCE_MISSING)


async def test_a_mirror_is_not_behind_for_what_it_keeps_of_objects_that_vanished_from_the_primary(store, here):
    await kept(store, here)
    assert await here.behind() == {}
    lag = (await here.lag())["copy"]
    assert (lag.pending, lag.oldest) == (1, 0.0)
    assert not await is_clean(here)


async def test_a_mirror_is_behind_for_such_an_object_once_it_is_written_again(store, here):
    await kept(store, here)
    await wrote(here)
    store.later(60)
    assert 60 <= (await here.behind())["copy"] < 90
    assert 60 <= (await here.lag())["copy"].oldest < 90
    assert await here.mirrored(await claimed(here), Outcome.APPLIED)
