from datetime import UTC, datetime

import pytest

from gateway.auth.keys import Grants
from gateway.auth.policy import Policy
from gateway.auth.verify import NOBODY
from gateway.backends.memory import Memory
from gateway.errors import AccessDenied, NoSuchBucket
from gateway.message import Caller, Owner
from gateway.storage import Address, Body, WriteOptions
from tests.auth.calls import chunks

ALL = Grants.parse(["*"])
ANNA = Caller(Owner("anna"), ALL, "key-of-anna")
BEN = Caller(Owner("ben"), ALL, "key-of-ben")
READER = Caller(Owner("anna"), Grants.parse(["read bucket/*"]), "key-of-reader")
NOW = datetime(2024, 1, 1, tzinfo=UTC)


async def given(bucket_acl: str = "private", acl: str = "private", owner: str = "anna", *, acls: bool = True) -> Policy:
    """A bucket of Anna's, and in it an object of `owner`'s."""
    storage = Memory()
    await storage.create_bucket("bucket", {"owner": "anna", "acl": bucket_acl})
    labels = {"owner": owner, "acl": acl} if owner else {}
    await storage.put(Address("bucket", "key"), Body(chunks([b"x"]), 1), WriteOptions(labels=labels))
    return Policy(storage, public=lambda name: name == "public", keeps_acls=lambda _: acls)


async def may(policy: Policy, caller: Caller, verb: str, key: str = "key", bucket: str = "bucket") -> bool:
    try:
        await policy.authorize(caller, verb, Address(bucket, key))
    except AccessDenied:
        return False
    return True


async def test_rights_alone_count_where_acls_are_disabled():
    policy = await given(acls=False)
    assert await may(policy, BEN, "read")
    assert await may(policy, BEN, "admin")
    assert await may(policy, READER, "read")
    assert not await may(policy, READER, "write")
    assert not await may(policy, READER, "list", "")
    assert not await may(policy, NOBODY, "read")


async def test_acls_say_nothing_where_they_are_disabled():
    policy = await given("public-read-write", "public-read", acls=False)
    assert not await may(policy, NOBODY, "read")
    assert not await may(policy, NOBODY, "write")
    assert not await may(policy, NOBODY, "list", "")


async def test_an_open_object_is_judged_by_its_own_acl_whatever_is_there_by_now():
    policy = await given(acl="public-read")
    at = Address("bucket", "key")
    await policy.authorize(NOBODY, "read", at)
    with pytest.raises(AccessDenied):
        await policy.authorize(NOBODY, "read", at, {"owner": "anna", "acl": "private"})


async def test_nothing_is_looked_up_where_acls_are_disabled():
    policy = Policy(None, public=lambda _: True, keeps_acls=lambda _: False)  # type: ignore[arg-type]
    assert await may(policy, ANNA, "write")
    assert await may(policy, NOBODY, "read")


@pytest.mark.parametrize("acls", [True, False])
async def test_public_bucket_is_read_by_everybody_and_nothing_else(acls):
    policy = await given(acls=acls)
    assert await may(policy, NOBODY, "read", "key", "public")
    denied = [("list", ""), ("read", ""), ("write", "key"), ("delete", "key"), ("admin", "key")]
    policy = Policy(policy._storage, public=lambda _: True, keeps_acls=lambda _: acls)
    assert not any([await may(policy, NOBODY, verb, key) for verb, key in denied])


async def test_no_verb_asks_for_a_signature_and_no_more():
    policy = await given()
    assert await may(policy, READER, "", "", "")
    assert not await may(policy, NOBODY, "", "", "")


@pytest.mark.parametrize(
    ("acl", "ben", "nobody"),
    [
        ("private", False, False),
        ("public-read", True, True),
        ("public-read-write", True, True),
        ("authenticated-read", True, False),
        ("bucket-owner-read", False, False),
        ("bucket-owner-full-control", False, False),
        ("aws-exec-read", False, False),
        ("log-delivery-write", False, False),
        ("no such acl", False, False),
    ],
)
async def test_canned_acl_of_an_object_says_who_else_reads(acl, ben, nobody):
    policy = await given(acl=acl)
    assert await may(policy, ANNA, "read")
    assert await may(policy, BEN, "read") == ben
    assert await may(policy, NOBODY, "read") == nobody
    assert not await may(policy, BEN, "admin")
    assert not await may(policy, NOBODY, "admin")


@pytest.mark.parametrize(
    ("acl", "lists", "writes", "nobody_lists", "nobody_writes"),
    [
        ("private", False, False, False, False),
        ("public-read", True, False, True, False),
        ("public-read-write", True, True, True, True),
        ("authenticated-read", True, False, False, False),
        ("bucket-owner-full-control", False, False, False, False),
    ],
)
async def test_canned_acl_of_a_bucket_says_who_else_lists_and_writes(acl, lists, writes, nobody_lists, nobody_writes):
    policy = await given(acl)
    for verb, key, ben, nobody in [
        ("list", "", lists, nobody_lists),
        ("list", "pre", lists, nobody_lists),
        ("write", "new", writes, nobody_writes),
        ("write", "key", writes, nobody_writes),
        ("delete", "key", writes, nobody_writes),
    ]:
        assert await may(policy, ANNA, verb, key)
        assert await may(policy, BEN, verb, key) == ben
        assert await may(policy, NOBODY, verb, key) == nobody
    assert not await may(policy, BEN, "read")
    assert not await may(policy, BEN, "admin", "")


async def test_owner_needs_the_right_beside_the_acl():
    policy = await given()
    assert await may(policy, READER, "read")
    assert not await may(policy, READER, "write")
    assert not await may(policy, READER, "admin")
    assert not await may(policy, READER, "list", "")
    policy = await given("public-read", "authenticated-read")
    assert await may(policy, READER, "list", "")
    assert not await may(policy, Caller(Owner("ben"), Grants.parse([]), "key"), "read")


@pytest.mark.parametrize(
    ("acl", "reads", "administers"),
    [("private", False, False), ("bucket-owner-read", True, False), ("bucket-owner-full-control", True, True)],
)
async def test_owner_of_the_bucket_reads_objects_of_others_as_their_acl_says(acl, reads, administers):
    policy = await given(acl=acl, owner="ben")
    assert await may(policy, BEN, "read")
    assert await may(policy, BEN, "admin")
    assert await may(policy, ANNA, "read") == reads
    assert await may(policy, ANNA, "admin") == administers
    assert await may(policy, ANNA, "delete")
    assert not await may(policy, BEN, "delete")


async def test_object_that_nobody_owns_is_the_bucket_owners():
    for owner in ("", NOBODY.owner.id):
        policy = await given("public-read-write", "private", owner)
        assert await may(policy, ANNA, "read")
        assert not await may(policy, BEN, "read")
        assert not await may(policy, NOBODY, "read")
        assert not await may(policy, NOBODY, "admin")


async def test_missing_object_is_told_to_those_only_who_may_list():
    policy = await given("private")
    assert await may(policy, ANNA, "read", "missing")
    assert not await may(policy, BEN, "read", "missing")
    assert not await may(policy, NOBODY, "read", "missing")
    policy = await given("public-read")
    assert await may(policy, BEN, "read", "missing")
    assert await may(policy, NOBODY, "read", "missing")


async def test_missing_bucket_is_told_and_may_be_created_with_the_right():
    policy = await given()
    for verb in ("write", "admin"):
        assert await may(policy, BEN, verb, "", "new")
        assert not await may(policy, READER, verb, "", "new")
        assert not await may(policy, NOBODY, verb, "", "new")
    for caller in (BEN, NOBODY):
        with pytest.raises(NoSuchBucket):
            await policy.authorize(caller, "read", Address("new", "key"))


async def test_only_the_owner_deletes_a_bucket_or_changes_its_acl():
    policy = await given("public-read-write")
    for verb in ("delete", "admin"):
        assert await may(policy, ANNA, verb, "")
    assert not await may(policy, BEN, "admin", "")
    assert not await may(policy, NOBODY, "admin", "")
    assert not await may(policy, BEN, "delete", "")
    assert not await may(policy, NOBODY, "delete", "")


async def test_bucket_without_an_owner_belongs_to_whoever_has_the_rights():
    policy = await given()
    await policy._storage.annotate(Address("bucket"), {})
    assert await may(policy, BEN, "list", "")
    assert await may(policy, BEN, "write", "new")
    assert not await may(policy, NOBODY, "list", "")
