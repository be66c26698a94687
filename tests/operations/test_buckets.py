import pytest

from gateway.auth.keys import Grants
from gateway.errors import (
    AccessDenied,
    BucketAlreadyExists,
    BucketAlreadyOwnedByYou,
    BucketNotEmpty,
    IllegalLocationConstraintException,
    InvalidArgument,
    InvalidBucketAclWithObjectOwnership,
    InvalidBucketName,
    InvalidLocationConstraint,
    MalformedXML,
    NoSuchBucket,
    NotImplementedByGateway,
)
from gateway.message import Caller, Owner
from gateway.operations import buckets
from tests.operations.calls import ALICE, ANYBODY, BOB, bucket, call, denying, parsed, service

OPERATIONS = (
    buckets.head_bucket,
    buckets.delete_bucket,
    buckets.get_bucket_location,
    buckets.get_bucket_versioning,
)


def configuration(location: str, further: str = "") -> bytes:
    text = f"<LocationConstraint>{location}</LocationConstraint>{further}"
    return f"<CreateBucketConfiguration>{text}</CreateBucketConfiguration>".encode()


async def create(of, name="bucket", data=b"", **options):
    return await buckets.create_bucket(of, call("PUT", f"/{name}", data, **options))


async def listed(of, query="", **options) -> dict:
    page = parsed(await buckets.list_buckets(of, call("GET", f"/?{query}", **options)), "Bucket")
    page["names"] = [one["Name"] for one in (page["Buckets"] or {}).get("Bucket", [])]
    return page


async def three():
    of = service()
    for name in ("aaa", "abb", "bbb"):
        await bucket(of, name)
    return of


async def test_a_created_bucket_is_there_and_belongs_to_its_maker():
    of = service()
    answer = await create(of)
    assert (answer.status, answer.headers["Location"]) == (200, "/bucket")
    info = await of.storage.head_bucket("bucket")
    assert info.labels == {"owner": "alice-id", "owner-name": "Alice"}


async def test_ones_own_bucket_may_be_created_again_in_us_east_1_and_stays_as_it_is():
    of = await bucket(service(), keys=["key"])
    before = await of.storage.head_bucket("bucket")
    assert (await create(of)).status == 200
    assert await of.storage.head_bucket("bucket") == before
    with pytest.raises(BucketAlreadyOwnedByYou):
        await create(service(of.storage, region="eu-west-1"))


async def test_creating_ones_own_bucket_again_sets_its_acl_anew():
    of = service(acls=["bucket"])
    for acl in ("public-read", "authenticated-read"):
        await create(of, headers={"x-amz-acl": acl})
        assert (await of.storage.head_bucket("bucket")).labels["acl"] == acl
    await create(of)
    assert (await of.storage.head_bucket("bucket")).labels["acl"] == "private"


async def test_the_bucket_of_someone_else_exists_already():
    for region in ("us-east-1", "eu-west-1"):
        of = await bucket(service(region=region))
        with pytest.raises(BucketAlreadyExists):
            await create(of, caller=BOB)


async def test_creating_takes_the_right_to_do_so_whoever_has_the_name():
    of = await bucket(service(acls=["bucket"]))
    for caller in (ANYBODY, Caller(Owner("alice-id"), Grants.parse(["list bucket"]), "AK")):
        for name in ("bucket", "new"):
            with pytest.raises(AccessDenied):
                await create(of, name, caller=caller)
    with pytest.raises(BucketAlreadyExists):
        await create(of, caller=BOB, authorize=denying(""))


@pytest.mark.parametrize(
    "name",
    [
        "aa",
        "a" * 64,
        "Abc",
        "foo_bar",
        "-foo",
        "foo-",
        ".foo",
        "foo.",
        "foo..bar",
        "foo.-bar",
        "foo-.bar",
        "192.168.5.123",
        "bücket",
        "foo%0A",
        "xn--foo",
        "sthree-foo",
        "amzn-s3-demo-bucket",
        "foo-s3alias",
        "foo--ol-s3",
        "foo.mrap",
        "foo--usw2-az1--x-s3",
        "foo--table-s3",
    ],
)
async def test_names_that_s3_does_not_allow_are_refused(name):
    with pytest.raises(InvalidBucketName):
        await create(service(), name)


@pytest.mark.parametrize("name", ["aaa", "a" * 63, "0foo", "foo.bar", "foo-bar", "1.2.3.4.5", "1.2.3.a"])
async def test_names_that_s3_allows_are_taken(name):
    of = service()
    await create(of, name)
    assert (await of.storage.head_bucket(name)).name == name


@pytest.mark.parametrize(
    ("region", "location"), [("us-east-1", "us-east-1"), ("us-east-1", ""), ("eu-west-1", "EU"), ("default", "default")]
)
async def test_the_own_region_may_be_named(region, location):
    of = service(region=region)
    await create(of, data=configuration(location))
    assert await of.storage.head_bucket("bucket")


@pytest.mark.parametrize(
    ("location", "error"),
    [
        ("eu-central-1", IllegalLocationConstraintException),
        ("EU", IllegalLocationConstraintException),
        ("nowhere", InvalidLocationConstraint),
    ],
)
async def test_another_region_is_refused(location, error):
    of = service()
    with pytest.raises(error):
        await create(of, data=configuration(location))
    with pytest.raises(NoSuchBucket):
        await of.storage.head_bucket("bucket")


async def test_what_a_bucket_is_to_be_beyond_a_place_is_refused():
    with pytest.raises(NotImplementedByGateway):
        await create(service(), data=configuration("", "<Bucket><Type>Directory</Type></Bucket>"))
    with pytest.raises(MalformedXML):
        await create(service(), data=configuration("<a/>"))


async def test_ownership_may_be_named_as_it_is():
    await create(service(), headers={"x-amz-object-ownership": "BucketOwnerEnforced"})
    await create(service(acls=["bucket"]), headers={"x-amz-object-ownership": "ObjectWriter"})
    for of, value in ((service(), "ObjectWriter"), (service(acls=["bucket"]), "BucketOwnerEnforced")):
        with pytest.raises(NotImplementedByGateway):
            await create(of, headers={"x-amz-object-ownership": value})
    with pytest.raises(InvalidArgument):
        await create(service(), headers={"x-amz-object-ownership": "Nobody"})


async def test_a_public_bucket_is_refused_where_acls_are_disabled_and_labelled_where_they_are_kept():
    public = {"x-amz-acl": "public-read"}
    with pytest.raises(InvalidBucketAclWithObjectOwnership):
        await create(service(), headers=public)
    of = service(acls=["bucket"])
    await create(of, headers=public)
    assert (await of.storage.head_bucket("bucket")).labels["acl"] == "public-read"


@pytest.mark.parametrize("acl", ["private", "bucket-owner-full-control"])
async def test_an_acl_that_says_what_holds_anyway_is_taken(acl):
    of = service()
    await create(of, headers={"x-amz-acl": acl})
    assert (await of.storage.head_bucket("bucket")).labels == {"owner": "alice-id", "owner-name": "Alice"}


async def test_head_tells_the_region():
    of = await bucket(service(region="eu-west-1"))
    answer = await buckets.head_bucket(of, call("HEAD", "/bucket"))
    assert answer.headers == {"x-amz-bucket-region": "eu-west-1", "x-amz-access-point-alias": "false"}


async def test_delete_takes_empty_buckets_only():
    of = await bucket(service(), keys=["key"])
    with pytest.raises(BucketNotEmpty):
        await buckets.delete_bucket(of, call("DELETE", "/bucket"))
    of = await bucket(service())
    assert (await buckets.delete_bucket(of, call("DELETE", "/bucket"))).status == 204


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_what_is_asked_of_a_bucket_that_is_not_there_fails(operation):
    with pytest.raises(NoSuchBucket):
        await operation(service(), call("GET", "/bucket"))


@pytest.mark.parametrize(("region", "location"), [("us-east-1", b"></Loc"), ("eu-west-1", b">eu-west-1</Loc")])
async def test_location_is_empty_in_us_east_1(region, location):
    of = await bucket(service(region=region))
    assert location in (await buckets.get_bucket_location(of, call("GET", "/bucket?location"))).content


async def test_versioning_was_never_enabled():
    of = await bucket(service())
    assert parsed(await buckets.get_bucket_versioning(of, call("GET", "/bucket?versioning"))) == {}


async def test_list_buckets_tells_owner_and_all_buckets():
    page = await listed(await three())
    assert page["names"] == ["aaa", "abb", "bbb"]
    assert page["Owner"] == {"ID": "alice-id", "DisplayName": "Alice"}
    assert page["Buckets"]["Bucket"][0]["CreationDate"].endswith(".000Z")
    assert not page.keys() & {"ContinuationToken", "Prefix"}
    assert "BucketRegion" not in page["Buckets"]["Bucket"][0]


async def test_list_buckets_pages():
    of = await three()
    page = await listed(of, "max-buckets=2")
    assert page["names"] == ["aaa", "abb"]
    assert page["Buckets"]["Bucket"][0]["BucketRegion"] == "us-east-1"
    rest = await listed(of, f"max-buckets=2&continuation-token={page['ContinuationToken']}")
    assert rest["names"] == ["bbb"]
    assert "ContinuationToken" not in rest
    assert "ContinuationToken" not in await listed(of, "max-buckets=3")


async def test_list_buckets_selects_by_prefix_and_region():
    of = await three()
    page = await listed(of, "prefix=a")
    assert (page["names"], page["Prefix"]) == (["aaa", "abb"], "a")
    assert (await listed(of, "bucket-region=us-east-1"))["names"] == ["aaa", "abb", "bbb"]
    assert (await listed(of, "bucket-region=eu-west-1"))["names"] == []


@pytest.mark.parametrize("query", ["max-buckets=0", "max-buckets=10001", "max-buckets=x", "continuation-token=x"])
async def test_list_buckets_refuses_bad_paging(query):
    with pytest.raises(InvalidArgument):
        await listed(service(), query)


async def test_list_buckets_shows_no_bucket_without_a_right_in_it():
    of = await three()
    caller = Caller(Owner("alice-id"), Grants.parse(["read abb/some/*"]), "AK")
    assert (await listed(of, caller=caller))["names"] == ["abb"]


async def test_list_buckets_shows_buckets_with_acls_to_their_owner():
    of = await bucket(service(acls=["mine", "theirs"]), "mine")
    await bucket(of, "theirs", owner="bob-id")
    await bucket(of, "shared", owner="bob-id")
    assert (await listed(of, caller=ALICE))["names"] == ["mine", "shared"]


async def test_list_buckets_wants_a_signature():
    with pytest.raises(AccessDenied):
        await listed(service(), caller=ANYBODY)
