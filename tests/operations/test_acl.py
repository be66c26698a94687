import pytest

from gateway.backends.memory import Memory
from gateway.errors import (
    AccessControlListNotSupported,
    AccessDenied,
    InvalidArgument,
    MalformedXML,
    MissingSecurityHeader,
    NoSuchBucket,
    NoSuchKey,
    NotImplementedByGateway,
    OperationAborted,
)
from gateway.operations import acl
from gateway.storage import Address, WriteOptions
from tests.operations.calls import ANYBODY, BOB, body, bucket, call, denying, parsed, service

CANNED = ["private", "public-read", "public-read-write", "authenticated-read"]
ALL_USERS = "http://acs.amazonaws.com/groups/global/AllUsers"
AUTHENTICATED = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"
XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'


def grants(answer) -> list[tuple[str, str]]:
    listed = parsed(answer, "Grant")["AccessControlList"]["Grant"]
    return [(one["Grantee"].get("ID") or one["Grantee"]["URI"], one["Permission"]) for one in listed]


def policy(*given: tuple[str, str], owner: str = "alice-id") -> bytes:
    written = "".join(
        f'<Grant><Grantee {XSI} xsi:type="{"Group" if who.startswith("http") else "CanonicalUser"}">'
        f"{f'<URI>{who}</URI>' if who.startswith('http') else f'<ID>{who}</ID>'}</Grantee>"
        f"<Permission>{what}</Permission></Grant>"
        for who, what in given
    )
    return (
        f"<AccessControlPolicy><Owner><ID>{owner}</ID></Owner>"
        f"<AccessControlList>{written}</AccessControlList></AccessControlPolicy>"
    ).encode()


async def of_bob(acls=("bucket",), label: str = "private"):
    """Return a service with Alice's bucket that holds Bob's object `key`."""
    of = await bucket(service(acls=acls), keys=["key"])
    options = WriteOptions(labels={"owner": "bob-id", "owner-name": "Bob", "acl": label})
    await of.storage.put(Address("bucket", "key"), body(b"data"), options)
    return of


async def get(of, target="/bucket?acl", **options):
    function = acl.get_object_acl if "key" in target else acl.get_bucket_acl
    return await function(of, call("GET", target, **options))


async def put(of, target="/bucket?acl", canned=None, data=b"", **options):
    function = acl.put_object_acl if "key" in target else acl.put_bucket_acl
    headers = {"x-amz-acl": canned} if canned else {}
    return await function(of, call("PUT", target, data, headers=headers, **options))


# --- new objects ---


@pytest.mark.parametrize("canned", [None, "private", "bucket-owner-full-control"])
def test_new_objects_carry_no_labels_where_acls_are_disabled(canned):
    asking = call("PUT", "/bucket/key", headers={"x-amz-acl": canned} if canned else {})
    assert acl.labels_for_new(service(), asking) == {}


@pytest.mark.parametrize("canned", ["public-read", "public-read-write", "authenticated-read", "bucket-owner-read"])
def test_new_objects_may_not_be_shared_where_acls_are_disabled(canned):
    with pytest.raises(AccessControlListNotSupported):
        acl.labels_for_new(service(), call("PUT", "/bucket/key", headers={"x-amz-acl": canned}))


@pytest.mark.parametrize("canned", [*CANNED, "bucket-owner-read", "bucket-owner-full-control"])
def test_new_objects_carry_owner_and_acl_where_acls_are_kept(canned):
    asking = call("PUT", "/bucket/key", headers={"x-amz-acl": canned}, caller=BOB)
    labels = acl.labels_for_new(service(acls=["bucket"]), asking)
    assert labels == {"owner": "bob-id", "owner-name": "Bob", "acl": canned}


def test_new_objects_are_private_and_may_belong_to_nobody():
    labels = acl.labels_for_new(service(acls=["bucket"]), call("PUT", "/bucket/key", caller=ANYBODY))
    assert labels == {"owner": ANYBODY.owner.id, "acl": "private"}


@pytest.mark.parametrize(("canned", "error"), [("public", InvalidArgument), ("aws-exec-read", NotImplementedByGateway)])
def test_what_is_no_canned_acl_is_refused(canned, error):
    for of in (service(), service(acls=["bucket"])):
        for labels in (acl.labels_for_new, acl.labels_for_new_bucket):
            with pytest.raises(error):
                labels(of, call("PUT", "/bucket/key", headers={"x-amz-acl": canned}))


# --- what is told ---


async def test_the_owner_has_full_control_and_nobody_else_where_acls_are_disabled():
    of = await of_bob(acls=(), label="public-read")
    for target in ("/bucket?acl", "/bucket/key?acl"):
        answer = await get(of, target)
        assert grants(answer) == [("alice-id", "FULL_CONTROL")]
        assert parsed(answer)["Owner"] == {"ID": "alice-id"}


@pytest.mark.parametrize(
    ("label", "others"),
    [
        ("private", []),
        ("public-read", [(ALL_USERS, "READ")]),
        ("public-read-write", [(ALL_USERS, "READ"), (ALL_USERS, "WRITE")]),
        ("authenticated-read", [(AUTHENTICATED, "READ")]),
        ("bucket-owner-read", [("alice-id", "READ")]),
        ("bucket-owner-full-control", [("alice-id", "FULL_CONTROL")]),
    ],
)
async def test_a_canned_acl_is_told_as_the_grants_it_stands_for(label, others):
    answer = await get(await of_bob(label=label), "/bucket/key?acl")
    assert grants(answer) == [*others, ("bob-id", "FULL_CONTROL")]
    assert parsed(answer)["Owner"] == {"ID": "bob-id", "DisplayName": "Bob"}


async def test_grantees_say_what_they_are():
    answer = await get(await of_bob(label="public-read"), "/bucket/key?acl")
    assert b'xsi:type="CanonicalUser"' in answer.content
    assert b'xsi:type="Group"' in answer.content


async def test_what_is_not_there_has_no_acl():
    for ask in (get, lambda *arguments: put(*arguments, canned="private")):
        with pytest.raises(NoSuchBucket):
            await ask(service(), "/bucket?acl")
        with pytest.raises(NoSuchKey):
            await ask(await bucket(service()), "/bucket/key?acl")


# --- what is set ---


@pytest.mark.parametrize("canned", CANNED)
async def test_a_canned_acl_is_kept_for_buckets_and_objects(canned):
    of = await of_bob()
    before = await of.storage.head(Address("bucket", "key"))
    await put(of, "/bucket?acl", canned)
    await put(of, "/bucket/key?acl", canned)
    assert (await of.storage.head_bucket("bucket")).labels == {"owner": "alice-id", "acl": canned}
    after = await of.storage.head(Address("bucket", "key"))
    assert after.labels == {"owner": "bob-id", "owner-name": "Bob", "acl": canned}
    assert (after.etag, after.modified) == (before.etag, before.modified)


@pytest.mark.parametrize("canned", CANNED)
async def test_grants_that_equal_a_canned_acl_are_kept_as_that(canned):
    of = await of_bob(label=canned)
    given = grants(await get(of, "/bucket/key?acl"))
    await put(of, "/bucket/key?acl", "private")
    await put(of, "/bucket/key?acl", data=policy(*reversed(given), owner="bob-id"))
    assert (await of.storage.head(Address("bucket", "key"))).labels["acl"] == canned


async def test_other_grants_are_refused_and_change_nothing():
    of = await of_bob(label="public-read")
    with pytest.raises(NotImplementedByGateway):
        await put(of, "/bucket/key?acl", data=policy(("bob-id", "READ"), owner="bob-id"))
    with pytest.raises(NotImplementedByGateway):
        await put(of, "/bucket/key?acl", data=policy(owner="bob-id"))
    assert (await of.storage.head(Address("bucket", "key"))).labels["acl"] == "public-read"


async def test_the_owner_cannot_be_changed():
    with pytest.raises(AccessDenied):
        await put(await of_bob(), "/bucket/key?acl", data=policy(("alice-id", "FULL_CONTROL"), owner="alice-id"))


class Overwritten(Memory):
    """Somebody else overwrites the object just before its labels are replaced."""

    async def annotate(self, at: Address, labels, was=None) -> None:
        await self.put(at, body(b"secret"), WriteOptions(labels={"owner": "bob-id", "acl": "private"}))
        await super().annotate(at, labels, was)


async def test_an_acl_is_not_set_on_what_somebody_else_has_put_there_meanwhile():
    of = await bucket(service(Overwritten(), acls=["bucket"]))
    mine = WriteOptions(labels={"owner": "alice-id", "acl": "private"})
    await of.storage.put(Address("bucket", "key"), body(b"mine"), mine)
    with pytest.raises(OperationAborted):
        await put(of, "/bucket/key?acl", "public-read")
    assert (await of.storage.head(Address("bucket", "key"))).labels == {"owner": "bob-id", "acl": "private"}


async def test_who_may_set_an_acl_is_asked_again_when_it_is_known_of_what():
    of = await bucket(service(acls=["bucket"]), keys=["key"])
    with pytest.raises(AccessDenied):
        await put(of, "/bucket/key?acl", "public-read", authorize=denying("key"))
    assert (await of.storage.head(Address("bucket", "key"))).labels == {}


async def test_a_bucket_takes_acls_of_objects_for_private():
    of = await of_bob()
    await put(of, "/bucket?acl", "bucket-owner-read")
    assert (await of.storage.head_bucket("bucket")).labels["acl"] == "private"


@pytest.mark.parametrize("target", ["/bucket?acl", "/bucket/key?acl"])
async def test_where_acls_are_disabled_only_full_control_of_the_bucket_owner_may_be_set(target):
    of = await of_bob(acls=())
    labels = (await of.storage.head(Address("bucket", "key"))).labels
    await put(of, target, "bucket-owner-full-control")
    await put(of, target, data=policy(("alice-id", "FULL_CONTROL")))
    with pytest.raises(AccessControlListNotSupported):
        await put(of, target, "public-read")
    for given in (("alice-id", "FULL_CONTROL"), (ALL_USERS, "READ")), (("alice-id", "READ"),):
        with pytest.raises(AccessControlListNotSupported):
            await put(of, target, data=policy(*given))
    assert (await of.storage.head(Address("bucket", "key"))).labels == labels
    assert (await of.storage.head_bucket("bucket")).labels == {"owner": "alice-id"}


async def test_an_acl_has_to_be_given():
    with pytest.raises(MissingSecurityHeader) as caught:
        await put(await of_bob())
    assert caught.value.fields == {"MissingHeaderName": "x-amz-acl"}


@pytest.mark.parametrize(
    "data",
    [
        b"<AccessControlPolicy><Owner>alice-id</Owner></AccessControlPolicy>",
        b"<AccessControlPolicy/>",
        policy().replace(b"<AccessControlList>", b"<AccessControlList><Grant>x</Grant>"),
        b"<Other/>",
    ],
)
async def test_a_document_that_is_none_is_refused(data):
    with pytest.raises(MalformedXML):
        await put(await of_bob(), data=data)
