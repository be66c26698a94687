"""Where a replicated bucket is written, and what is said of a write that failed."""

import asyncio

import pytest

from gateway.conditions import Conditions
from gateway.errors import BadDigest, InternalError, NoSuchKey, PreconditionFailed, ServiceUnavailable
from gateway.replication.records import Mode
from gateway.state.store import StateUnavailable, StateUnknown
from gateway.storage import PIECE, PRIVATE, Address, Body, ListQuery, WriteOptions
from tests.backends.given import BrokenOffError, Slow, body, breaking, etag, keys, put, read
from tests.routing.replicated.world import AT, BUCKET, Fault, World

ABSENT = WriteOptions(conditions=Conditions(if_none_match=("*",)))
MODES = list(Mode)


@pytest.fixture
async def world():
    return await World().ready(BUCKET)


async def in_mode(world, mode):
    if mode is not Mode.NORMAL:
        await world.fail()
    if mode is Mode.HEALING:
        await put(world.storage, Address(BUCKET, "keeps it healing"))
        await world.recover()
    return world


async def refused(writing):
    with pytest.raises(ServiceUnavailable) as caught:
        await writing
    assert caught.value.headers["x-gw-applied"] == "no"
    assert caught.value.headers["Retry-After"]


async def unknown(writing):
    with pytest.raises(InternalError) as caught:
        await writing
    assert caught.value.headers == {"x-gw-applied": "unknown"}


async def is_dirty(world, at=AT):
    await world.journal.drained()
    return bool((await world.journal.look(at)).dirty)


async def whole(world):
    """Let the primary come back and everything be brought there; all storages must then hold the same."""
    await world.recover()
    await world.heal()
    assert await world.mode() is Mode.NORMAL
    await world.mirrored()
    names = await keys(world.primary.inner, BUCKET)
    assert await keys(world.mirror.inner, BUCKET) == names
    for name in names:
        data = await read(world.primary.inner, Address(BUCKET, name))
        assert await read(world.mirror.inner, Address(BUCKET, name)) == data


# --- the primary ---


async def test_a_write_is_written_down_before_its_first_byte_goes_anywhere(world):
    hold = world.primary.hold("put")
    running = asyncio.create_task(put(world.storage, AT, b"data"))
    await hold.reached.wait()
    assert (await world.journal.look(AT)).dirty == {"mirror"}
    hold.go_on.set()
    await running
    await world.mirrored()
    assert await read(world.mirror.inner, AT) == b"data"
    assert not await is_dirty(world)


async def test_a_bucket_without_mirrors_writes_nothing_down():
    world = await World(mirrors=()).ready(BUCKET)
    world.state.fails = StateUnavailable
    world.member._standing = world.member._standing._replace(mode=Mode.NORMAL)
    world.member._mode_until = world.member._node_until = float("inf")
    assert (await put(world.storage, AT, b"data")).etag == etag(b"data")
    assert await read(world.storage, AT) == b"data"


async def test_a_write_that_was_refused_was_not_done(world):
    world.primary.fails(Fault.REFUSES, "put", "delete")
    await refused(put(world.storage, AT, b"data"))
    await refused(world.storage.delete(AT))
    assert not await is_dirty(world)
    assert world.fallback.writes == []


@pytest.mark.parametrize("fault", [Fault.LOSES_ANSWER, Fault.LOSES_QUESTION])
async def test_a_write_of_unknown_outcome_is_not_tried_elsewhere(world, fault):
    world.primary.fails(fault, "put", "delete", "annotate", "copy")
    await unknown(put(world.storage, AT, b"data"))
    await unknown(world.storage.delete(AT))
    assert len(world.primary.writes) == 2
    assert world.fallback.writes == world.mirror.writes == []


@pytest.mark.parametrize("fault", [Fault.LOSES_ANSWER, Fault.LOSES_QUESTION])
async def test_mirrors_follow_a_write_of_unknown_outcome_whatever_became_of_it(world, fault):
    await put(world.storage, AT, b"old")
    await world.mirrored()
    world.primary.fails(fault, "put")
    await unknown(put(world.storage, AT, b"new"))
    assert await is_dirty(world)
    world.primary.works()
    await world.sweep()
    await world.mirrored()
    assert await read(world.mirror.inner, AT) == await read(world.primary.inner, AT)
    assert not await is_dirty(world)


async def test_a_storage_that_fails_in_its_own_way_leaves_the_outcome_open(world):
    async def burst(*_):
        raise OSError

    world.primary.inner.delete = burst
    await unknown(world.storage.delete(AT))
    assert await is_dirty(world)


@pytest.mark.parametrize("mode", [Mode.NORMAL, Mode.FAILOVER])
async def test_a_body_that_breaks_off_leaves_nothing_open(world, mode):
    await in_mode(world, mode)
    for data in (b"data", bytes(3 * PIECE)):
        with pytest.raises(BrokenOffError):
            await world.storage.put(AT, Body(breaking(data), None))
    wrong = body(b"data")
    wrong.check(_fails)
    with pytest.raises(BadDigest):
        await world.storage.put(AT, wrong)
    assert not await is_dirty(world)
    with pytest.raises((NoSuchKey, ServiceUnavailable)):
        await world.primary.head(AT)
    assert await keys(world.storage, BUCKET) == []


def _fails():
    raise BadDigest


async def test_a_request_that_is_broken_off_before_its_last_byte_was_not_done(world):
    slow = Slow(bytes(2 * PIECE), b"rest")
    running = asyncio.create_task(world.storage.put(AT, slow.body))
    await slow.reached.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not await is_dirty(world)


async def test_a_request_that_is_broken_off_after_its_last_byte_may_have_been_done(world):
    hold = world.primary.hold("delete")
    running = asyncio.create_task(world.storage.delete(AT))
    await hold.reached.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await is_dirty(world)


@pytest.mark.parametrize("size", [10, 3 * PIECE])
async def test_an_upload_that_began_before_an_outage_does_not_end_in_it(world, size):
    await put(world.storage, AT, b"old")
    slow = Slow(bytes(size), b"rest")
    running = asyncio.create_task(world.storage.put(AT, slow.body))
    await slow.reached.wait()
    await world.turn(Mode.FAILOVER)
    slow.go_on.set()
    await refused(running)
    assert await read(world.primary.inner, AT) == b"old"


async def test_an_upload_that_began_before_an_outage_does_not_overtake_what_came_in_it(world):
    slow = Slow(bytes(3 * PIECE), b"rest")
    running = asyncio.create_task(world.storage.put(AT, slow.body))
    await slow.reached.wait()
    await world.turn(Mode.FAILOVER)
    await put(world.storage, AT, b"new")
    await world.turn(Mode.HEALING)
    slow.go_on.set()
    await refused(running)
    await whole(world)
    assert await read(world.storage, AT) == b"new"


async def test_a_node_whose_lease_is_over_writes_no_more(world):
    slow = Slow(b"data", b"rest")
    running = asyncio.create_task(world.storage.put(AT, slow.body))
    await slow.reached.wait()
    world.member._node_until = -1.0
    slow.go_on.set()
    await refused(running)
    await refused(world.storage.delete(AT))
    assert not any(name == "delete" for name, _ in world.primary.writes)
    assert not await is_dirty(world)


async def test_who_meets_the_outage_first_is_served_by_the_fallback_if_no_byte_was_taken(world):
    world.member._mode_until = float("inf")  # by an old lease
    world.primary.fails(Fault.REFUSES)
    await world.journal.turn(Mode.FAILOVER, "test")
    world.primary.hold("delete").go_on.set()
    world.member._mode_until = -1.0
    assert (await put(world.storage, AT, b"data")).etag == etag(b"data")
    await world.storage.delete(AT)
    with pytest.raises(NoSuchKey):
        await world.storage.head(AT)


async def test_a_refused_write_goes_to_the_fallback_if_the_mode_says_so_by_now(world):
    for write in (lambda: put(world.storage, AT, b"data"), lambda: world.storage.delete(AT)):
        world.primary.works()
        holds = [world.primary.hold(name) for name in ("put", "delete")]
        running = asyncio.create_task(write())
        await asyncio.wait([asyncio.create_task(h.reached.wait()) for h in holds], return_when="FIRST_COMPLETED")
        world.primary.holds.clear()
        await world.fail()
        for hold in holds:
            hold.go_on.set()
        await running
        assert (await world.journal.look(AT)).row
        await whole(world)


async def test_nothing_is_written_where_it_cannot_be_written_down(world):
    world.state.fails = StateUnavailable
    await refused(put(world.storage, AT, b"data"))
    world.state.fails = StateUnknown
    await refused(put(world.storage, AT, b"data"))
    assert world.primary.writes == []


# --- the fallback ---


async def test_what_is_written_during_an_outage_comes_to_the_primary_and_its_mirrors(world):
    await put(world.storage, Address(BUCKET, "before"), b"before")
    await world.mirrored()
    await world.fail()
    options = WriteOptions(headers={"content-type": "a/b"}, metadata={"a": "ä"}, labels={"owner": "alice"})
    info = await put(world.storage, AT, b"data", options)
    assert info.etag == etag(b"data")
    await whole(world)
    there = await world.primary.inner.head(AT)
    assert (there.etag, there.headers, there.metadata, there.labels, there.checksum) == (
        info.etag,
        options.headers,
        options.metadata,
        options.labels,
        info.checksum,
    )
    assert (await world.storage.head(AT)).served_by == ""
    await world.sweep()
    assert await keys(world.fallback.inner, BUCKET) == []


async def test_what_is_staged_is_in_the_gateways_own_corner_and_never_written_again(world):
    await world.fail()
    for data in (b"one", b"two"):
        await put(world.storage, AT, data)
    staged = await keys(world.fallback.inner, BUCKET)
    assert len(staged) == 2
    assert all(key.startswith(PRIVATE) for key in staged)


async def test_nothing_is_seen_before_it_is_stored(world):
    await world.fail()
    await put(world.storage, AT, b"old")
    hold = world.fallback.hold("put")
    running = asyncio.create_task(put(world.storage, AT, b"new"))
    await hold.reached.wait()
    assert await read(world.storage, AT) == b"old"
    hold.go_on.set()
    await running
    assert await read(world.storage, AT) == b"new"


@pytest.mark.parametrize("fault", list(Fault))
async def test_a_write_that_the_fallback_does_not_take_was_not_done(world, fault):
    await world.fail()
    world.fallback.fails(fault, "put")
    await refused(put(world.storage, AT, b"data"))
    world.fallback.works()
    assert await keys(world.storage, BUCKET) == []
    await world.sweep()
    await world.sweep()
    assert await keys(world.fallback.inner, BUCKET) == []


async def test_a_fallback_that_stored_something_else_is_found_out(world):
    await world.fail()
    inner = world.fallback.inner.put

    async def shortened(at, *args):
        await inner(at, *args)
        return await inner(at, body(b"dat"))

    world.fallback.inner.put = shortened
    await refused(put(world.storage, AT, b"data"))


async def test_deleting_takes_no_storage_at_all(world):
    await put(world.storage, AT, b"data")
    await world.mirrored()
    await world.fail()
    world.fallback.fails(Fault.REFUSES)
    await world.storage.delete(AT)
    with pytest.raises(NoSuchKey):
        await world.storage.head(AT)
    await refused(put(world.storage, AT, b"data"))


async def test_delete_during_an_outage_stays_deleted(world):
    await put(world.storage, AT, b"data")
    await world.mirrored()
    await world.fail()
    await world.storage.delete(AT)

    async def is_gone():
        with pytest.raises(NoSuchKey):
            await world.storage.head(AT)
        assert await keys(world.storage, BUCKET) == []
        assert await keys(world.storage, BUCKET, ListQuery(delimiter="e")) == []

    await is_gone()
    await world.recover()
    assert (await world.primary.inner.head(AT)).size == 4
    await is_gone()
    await world.heal()
    await is_gone()
    await whole(world)
    assert await keys(world.primary.inner, BUCKET) == await keys(world.mirror.inner, BUCKET) == []


async def test_of_many_writes_during_an_outage_the_last_one_is_kept(world):
    await world.fail()
    await put(world.storage, AT, b"one")
    await world.storage.delete(AT)
    await put(world.storage, AT, b"two")
    await whole(world)
    assert await read(world.primary.inner, AT) == b"two"
    assert world.primary.writes.count(("put", AT.key)) == 1


async def test_a_key_that_is_not_healed_yet_is_written_by_the_healer_only(world):
    await world.fail()
    await put(world.storage, AT, b"one")
    await world.recover()
    before = list(world.primary.writes)
    await put(world.storage, AT, b"two")
    await world.storage.annotate(AT, {"acl": "private"})
    info = await world.storage.head(AT)
    await world.storage.copy(AT, AT, WriteOptions(), info.etag)
    await world.storage.delete(AT)
    await put(world.storage, AT, b"three")
    assert world.primary.writes == before
    await put(world.storage, Address(BUCKET, "other"), b"data")
    assert world.primary.writes == [*before, ("put", "other")]
    await whole(world)
    assert await read(world.storage, AT) == b"three"


async def test_of_two_writes_at_once_one_is_kept_and_the_other_is_cleared_away(world):
    await world.fail()
    await asyncio.gather(*(put(world.storage, AT, b"%d" % n) for n in range(8)))
    kept = await read(world.storage, AT)
    await whole(world)
    assert await read(world.storage, AT) == kept
    await world.sweep()
    assert await keys(world.fallback.inner, BUCKET) == []


async def test_what_nobody_could_write_down_is_not_seen(world):
    await world.fail()
    world.state.fails = StateUnavailable
    await refused(put(world.storage, AT, b"data"))
    await refused(world.storage.delete(AT))
    world.state.fails = None
    assert await keys(world.storage, BUCKET) == []


async def test_a_commit_without_an_answer_may_have_been_done(world):
    await world.fail()
    hold = world.fallback.hold("put")
    running = asyncio.create_task(put(world.storage, AT, b"data"))
    await hold.reached.wait()
    world.state.fails = StateUnknown
    hold.go_on.set()
    await unknown(running)
    world.state.fails = None
    assert await read(world.storage, AT) == b"data"
    await world.sweep()
    await world.sweep()
    assert await read(world.storage, AT) == b"data", "what became current is not cleared away"


async def test_a_tombstone_without_an_answer_may_be_there(world):
    await put(world.storage, AT, b"data")
    await world.fail()
    bury = world.journal.bury

    async def lost(*args):
        await bury(*args)
        raise StateUnknown

    world.journal.bury = lost
    await unknown(world.storage.delete(AT))
    with pytest.raises(NoSuchKey):
        await world.storage.head(AT)


async def test_a_write_that_outlasts_the_outage_is_refused(world):
    await world.fail()
    hold = world.fallback.hold("put")
    running = asyncio.create_task(put(world.storage, AT, b"data"))
    await hold.reached.wait()
    await world.recover()
    await world.heal()
    assert await world.mode() is Mode.NORMAL
    hold.go_on.set()
    await refused(running)
    with pytest.raises(NoSuchKey):
        await world.storage.head(AT)


async def test_without_a_fallback_nothing_is_written_during_an_outage():
    world = await World(fallback=False).ready(BUCKET)
    await world.fail()
    await refused(put(world.storage, AT, b"data"))
    await refused(world.storage.delete(AT))
    await refused(world.storage.create_upload(AT))


async def test_a_bucket_that_the_fallback_lacks_is_made_there_only_by_the_primarys_word(world):
    await world.fallback.inner.delete_bucket(BUCKET)
    await world.fail()
    await refused(put(world.storage, AT, b"data"))
    assert await world.fallback.inner.list_buckets() == []
    await put_under_a_row(world)
    await world.recover()
    await put(world.storage, AT, b"data")
    assert [info.name for info in await world.fallback.inner.list_buckets()] == [BUCKET]


async def put_under_a_row(world):
    """Make the key one that is the healer's on the primary."""
    await world.storage.delete(AT)


# --- conditions ---


@pytest.mark.parametrize("mode", MODES)
async def test_of_many_who_want_a_key_absent_exactly_one_wins(world, mode):
    await in_mode(world, mode)
    results = await asyncio.gather(
        *(put(world.storage, AT, b"%d" % n, ABSENT) for n in range(8)), return_exceptions=True
    )
    assert sum(isinstance(result, PreconditionFailed) for result in results) == 7
    winner = next(n for n, result in enumerate(results) if not isinstance(result, BaseException))
    assert await read(world.storage, AT) == b"%d" % winner


@pytest.mark.parametrize("mode", MODES)
async def test_conditions_are_about_the_newest_state(world, mode):
    old = await put(world.storage, AT, b"old")
    await world.mirrored()
    await in_mode(world, mode)
    new = await put(world.storage, AT, b"new", WriteOptions(conditions=Conditions(if_match=(old.etag,))))
    with pytest.raises(PreconditionFailed):
        await put(world.storage, AT, b"lost", WriteOptions(conditions=Conditions(if_match=(old.etag,))))
    with pytest.raises(PreconditionFailed):
        await world.storage.delete(AT, Conditions(if_match=(old.etag,)))
    await world.storage.delete(AT, Conditions(if_match=(new.etag,)))
    with pytest.raises(NoSuchKey):
        await world.storage.delete(AT, Conditions(if_match=("*",)))
    await put(world.storage, AT, b"again", ABSENT)
    assert await read(world.storage, AT) == b"again"


async def test_a_condition_that_nobody_can_decide_is_refused(world):
    old = await put(world.storage, AT, b"old")
    await world.journal.drained()
    await world.fail()
    for conditions in (Conditions(if_match=(old.etag,)), Conditions(if_none_match=("*",))):
        await refused(put(world.storage, AT, b"new", WriteOptions(conditions=conditions)))
        await refused(world.storage.delete(AT, conditions))
    assert not (await world.journal.look(AT)).row


@pytest.mark.parametrize("during", [False, True])
async def test_a_false_condition_is_told_without_reading_the_body(world, during):
    await put(world.storage, AT, b"old")
    await world.mirrored()
    await world.fail()
    if during:
        await put(world.storage, AT, b"newer")
    unread = body(b"new")
    with pytest.raises(PreconditionFailed):
        await world.storage.put(AT, unread, ABSENT)
    assert not unread.started


async def test_who_comes_second_is_judged_by_what_the_first_has_left(world):
    await world.fail()
    hold = world.fallback.hold("put")
    running = asyncio.create_task(put(world.storage, AT, b"late", ABSENT))
    await hold.reached.wait()
    await put(world.storage, AT, b"first")
    hold.go_on.set()
    with pytest.raises(PreconditionFailed):
        await running
    assert await read(world.storage, AT) == b"first"


# --- copies and labels ---


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("when", MODES)
async def test_an_object_of_any_mode_is_copied_and_labelled_in_any_mode(world, mode, when):
    if mode is not Mode.NORMAL:
        await in_mode(world, when)
        info = await put(world.storage, AT, b"data", WriteOptions(metadata={"a": "b"}))
    else:
        info = await put(world.storage, AT, b"data", WriteOptions(metadata={"a": "b"}))
        await world.mirrored()
        await in_mode(world, when)
    copy = Address(BUCKET, "copy")
    made = await world.storage.copy(AT, copy, WriteOptions(metadata={"c": "d"}), info.etag)
    await world.storage.annotate(AT, {"acl": "public-read"}, {})
    with pytest.raises(PreconditionFailed):
        await world.storage.annotate(AT, {"acl": "private"}, {})
    with pytest.raises(PreconditionFailed):
        await world.storage.copy(AT, copy, WriteOptions(), "0" * 32)
    labelled, copied = await world.storage.head(AT), await world.storage.head(copy)
    assert (labelled.etag, labelled.labels, labelled.metadata) == (info.etag, {"acl": "public-read"}, {"a": "b"})
    assert (copied.etag, made.etag, copied.metadata) == (info.etag, info.etag, {"c": "d"})
    await whole(world)
    there = await world.primary.inner.head(AT)
    assert (there.etag, there.labels, there.metadata) == (info.etag, {"acl": "public-read"}, {"a": "b"})


async def test_a_copy_stays_on_one_storage_where_both_ends_lie_on_it(world):
    info = await put(world.storage, AT, b"data")
    copy = Address(BUCKET, "copy")
    await world.storage.copy(AT, copy, WriteOptions(), info.etag)
    await world.fail()
    await put(world.storage, AT, b"data")
    await world.storage.copy(AT, copy, WriteOptions(), info.etag)
    assert [name for name, _ in world.primary.writes] == ["put", "copy"]
    assert [name for name, _ in world.fallback.writes] == ["put", "copy"]
    assert ("get", AT.key) not in world.primary.told


async def test_labels_do_not_come_back_that_were_replaced_during_an_outage(world):
    await put(world.storage, AT, b"data", WriteOptions(labels={"acl": "public-read"}))
    await world.mirrored()
    await world.fail()
    await world.storage.annotate(AT, {"acl": "private"})
    assert (await world.storage.head(AT)).labels == {"acl": "private"}
    await whole(world)
    assert (await world.primary.inner.head(AT)).labels == {"acl": "private"}


async def test_nothing_can_be_labelled_that_is_not_there_or_not_known(world):
    await put(world.storage, AT, b"data")
    await world.journal.drained()
    await world.fail()
    with pytest.raises(ServiceUnavailable):
        await world.storage.annotate(AT, {})
    await world.storage.delete(AT)
    with pytest.raises(NoSuchKey):
        await world.storage.annotate(AT, {})


async def test_a_label_of_unknown_outcome_is_told_as_such(world):
    await put(world.storage, AT, b"data")
    await world.mirrored()
    world.primary.fails(Fault.LOSES_ANSWER, "annotate")
    await unknown(world.storage.annotate(AT, {"acl": "private"}))
    world.primary.works()
    await world.sweep()
    await world.mirrored()
    assert (await world.mirror.inner.head(AT)).labels["acl"] == "private"


@pytest.mark.parametrize("is_there", [False, True])
async def test_labels_are_not_put_on_what_has_replaced_the_object_meanwhile(world, is_there):
    await put(world.storage, AT, b"data", WriteOptions(labels={"owner": "alice"}))
    await world.mirrored()
    await world.fail()
    if is_there:
        await put(world.storage, AT, b"data", WriteOptions(labels={"owner": "alice"}))
    hold = world.fallback.hold("copy" if is_there else "put")
    running = asyncio.create_task(world.storage.annotate(AT, {"owner": "alice", "acl": "public"}, {"owner": "alice"}))
    await hold.reached.wait()
    await put(world.storage, AT, b"data", WriteOptions(labels={"owner": "bob"}))
    hold.go_on.set()
    with pytest.raises(PreconditionFailed):
        await running
    assert (await world.storage.head(AT)).labels == {"owner": "bob"}


async def test_who_deletes_second_is_judged_by_what_the_first_has_left(world):
    old = await put(world.storage, AT, b"old")
    await world.mirrored()
    await world.fail()
    hold = world.mirror.hold("head")
    running = asyncio.create_task(world.storage.delete(AT, Conditions(if_match=(old.etag,))))
    await hold.reached.wait()
    await put(world.storage, AT, b"new")
    hold.go_on.set()
    with pytest.raises(PreconditionFailed):
        await running
    assert await read(world.storage, AT) == b"new"


async def test_a_copy_goes_to_and_comes_from_where_the_newest_state_is(world):
    on_primary, on_fallback = Address(BUCKET, "on primary"), Address(BUCKET, "on fallback")
    old = await put(world.storage, on_primary, b"of the primary")
    await put(world.storage, on_fallback, b"old")
    await world.fail()
    new = await put(world.storage, on_fallback, b"of the fallback")
    await world.recover()
    await world.storage.copy(on_fallback, Address(BUCKET, "fresh"), WriteOptions(), new.etag)
    assert await read(world.primary.inner, Address(BUCKET, "fresh")) == b"of the fallback"
    await world.storage.copy(on_primary, on_fallback, WriteOptions(), old.etag)
    assert await read(world.primary.inner, on_fallback) == b"old"
    assert await read(world.storage, on_fallback) == b"of the primary"
    await whole(world)
    assert await read(world.storage, on_fallback) == b"of the primary"
