import json
from base64 import b64encode
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.form_policy import FormPolicy
from gateway.errors import AccessDenied, EntityTooLarge, EntityTooSmall, InvalidPolicyDocument
from gateway.storage import Body
from tests.auth.calls import chunks

NOW = 1_451_433_600.0  # 2015-12-30T00:00:00Z
EXPIRATION = "2015-12-30T12:00:00.000Z"
BUCKET = {"bucket": "b"}
KEY = ["starts-with", "$key", ""]
FORM = {"key": "user/cat.jpg", "policy": "…", "x-amz-signature": "…"}


def written(document):
    text = document if isinstance(document, str) else json.dumps(document)
    return b64encode(text.encode()).decode()


def policy(*conditions, expiration=EXPIRATION):
    return FormPolicy.parse(written({"expiration": expiration, "conditions": [BUCKET, KEY, *conditions]}))


def failing(conditions, **fields):
    with pytest.raises(AccessDenied) as caught:
        policy(*conditions).check({**FORM, **fields}, "b", NOW)
    return str(caught.value).removeprefix("Invalid according to Policy: ")


def invalid(document):
    with pytest.raises(InvalidPolicyDocument) as caught:
        FormPolicy.parse(written(document))
    return str(caught.value).removeprefix("Invalid Policy: ")


def condition(*said):
    return invalid({"expiration": EXPIRATION, "conditions": list(said)})


def test_a_form_as_its_policy_wants_it_is_allowed():
    wanted = [{"acl": "private"}, ["eq", "$x-amz-meta-a", "1"], ["starts-with", "$Content-Type", "image/"]]
    policy(*wanted).check({**FORM, "acl": "private", "x-amz-meta-a": "1", "content-type": "image/png"}, "b", NOW)


def test_names_and_operations_are_read_in_any_case_values_are_not():
    policy(["EQ", "$aCL", "private"], {"X-Amz-Date": "d"}).check(
        {**FORM, "acl": "private", "x-amz-date": "d"}, "b", NOW
    )
    assert failing([{"acl": "private"}], acl="Private") == 'Policy Condition failed: ["eq", "$acl", "private"]'


@pytest.mark.parametrize(
    ("said", "value", "told"),
    [
        (["eq", "$acl", "private"], "public-read", '["eq", "$acl", "private"]'),
        ({"acl": "private"}, "public-read", '["eq", "$acl", "private"]'),
        (["starts-with", "$acl", "pri"], "Private", '["starts-with", "$acl", "pri"]'),
        (["eq", "acl", "private"], "private", '["eq", "acl", "private"]'),
        (["eq", "$acl", 'a"b'], "c", r'["eq", "$acl", "a\"b"]'),
    ],
)
def test_a_field_that_is_not_as_it_must_be_is_told(said, value, told):
    assert failing([said], acl=value) == f"Policy Condition failed: {told}"


@pytest.mark.parametrize("said", [["starts-with", "$acl", ""], ["eq", "$acl", ""], {"acl": ""}])
def test_a_field_that_a_condition_names_must_be_there(said):
    assert failing([said]).startswith("Policy Condition failed")
    policy(said).check({**FORM, "acl": ""}, "b", NOW)


def test_all_conditions_of_a_field_must_hold():
    both = [["starts-with", "$acl", "p"], ["starts-with", "$acl", "pr"]]
    policy(*both).check({**FORM, "acl": "private"}, "b", NOW)
    assert failing(both, acl="public-read").endswith('["starts-with", "$acl", "pr"]')


def test_each_content_type_of_a_list_must_hold():
    images = ["starts-with", "$Content-Type", "image/"]
    policy(images).check({**FORM, "content-type": "image/jpg,image/png, image/gif"}, "b", NOW)
    assert failing([images], **{"content-type": "image/jpg,text/plain"})
    keys = ["starts-with", "$x-amz-meta-a", "a"]
    policy(keys).check({**FORM, "x-amz-meta-a": "a,b"}, "b", NOW)


def test_a_field_without_a_condition_is_told():
    assert failing([], **{"x-amz-meta-a": "1", "submit": "go"}) == "Extra input fields: x-amz-meta-a, submit"


def test_some_fields_need_no_condition():
    free = ["awsaccesskeyid", "signature", "x-ignore-me", "x-amz-checksum-sha256", "x-amz-checksum-algorithm"]
    policy().check({**FORM, **dict.fromkeys(free, "")}, "b", NOW)


def test_the_bucket_is_that_of_the_url_and_must_be_named():
    with pytest.raises(AccessDenied, match=r'\["eq", "\$bucket", "b"\]'):
        policy().check({**FORM, "bucket": "b"}, "other", NOW)
    unnamed = FormPolicy.parse(written({"expiration": EXPIRATION, "conditions": [KEY]}))
    with pytest.raises(AccessDenied, match="Extra input fields: bucket"):
        unnamed.check(FORM, "b", NOW)


def test_a_policy_ends_when_it_expires():
    for expiration in ("2015-12-30T00:00:00Z", "2015-12-29T23:59:59.999Z"):
        with pytest.raises(AccessDenied, match=r"Policy expired\."):
            policy(expiration=expiration).check(FORM, "b", NOW)
    policy(expiration="2015-12-30T00:00:00.001Z").check(FORM, "b", NOW)


@pytest.mark.parametrize(
    "expiration",
    [
        "",
        "2015-12-30",
        "2015-12-30 12:00:00Z",
        "2015-12-30T12:00:00",
        "2015-12-30T12:00:00+02:00",
        "2015-13-30T12:00:00Z",
    ],
)
def test_an_expiration_is_a_moment_in_utc(expiration):
    said = invalid({"expiration": expiration, "conditions": []})
    assert said == f"Invalid 'expiration' value: '{expiration}'"


@pytest.mark.parametrize("expiration", [None, 1, [], True])
def test_an_expiration_is_text(expiration):
    assert invalid({"expiration": expiration, "conditions": []}).startswith("Invalid 'expiration' value")


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"conditions": []}, "Policy missing expiration."),
        ({"expiration": EXPIRATION}, "Policy missing conditions."),
        ({"expiration": EXPIRATION, "conditions": {}}, "Invalid 'conditions' value: must be a List."),
        ({"expiration": EXPIRATION, "CONDITIONS": []}, "Unexpected: 'conditions'"),
        ({"Statement": [], "expiration": EXPIRATION, "conditions": []}, "Unexpected: 'statement'"),
        ("[]", "Invalid JSON."),
        ("", "Invalid JSON."),
        ("{", "Invalid JSON."),
        ('{"a": NaN}', "Invalid JSON."),
        ('{"a": 1, "a": 2}', "Invalid JSON."),
        ("[" * 15_000, "Invalid JSON."),
        ("1" * 15_000, "Invalid JSON."),
    ],
)
def test_a_document_that_is_no_policy_is_refused(document, told):
    assert invalid(document) == told


@pytest.mark.parametrize("encoded", ["%", "YQ", "ü"])
def test_a_policy_comes_in_base64(encoded):
    with pytest.raises(InvalidPolicyDocument, match="Base64"):
        FormPolicy.parse(encoded)


def test_a_policy_that_is_no_utf_8_is_refused():
    with pytest.raises(InvalidPolicyDocument, match="Invalid JSON"):
        FormPolicy.parse(b64encode(b'{"a\xff": 1}').decode())


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({}, "Invalid Simple-Condition: Simple-Conditions must have exactly one property specified."),
        (
            {"acl": "a", "key": "b"},
            "Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.",
        ),
        ({"acl": 1}, "Invalid Simple-Condition: value must be a string."),
        ("acl", "Invalid condition: must be a List or Object."),
        ([], "Invalid Condition: missing operation identifier."),
        ([1, "$acl", "a"], "Invalid Condition: missing operation identifier."),
        (["in", "$acl", "a"], "Invalid Condition: unknown operation 'in'."),
        (["eq", "$acl"], "Invalid eq: wrong number of arguments."),
        (["eq", "$acl", 1], "Invalid JSON."),
        (["content-length-range", 0], "Invalid content-length-range: wrong number of arguments."),
        (["content-length-range", 0, 1.5], "Invalid JSON."),
        (["content-length-range", -1, 0], "Invalid content-length-range: bounds must be whole numbers of bytes."),
        (["content-length-range", True, 5], "Invalid content-length-range: bounds must be whole numbers of bytes."),
        (["content-length-range", None, 5], "Invalid content-length-range: bounds must be whole numbers of bytes."),
    ],
)
def test_a_condition_that_is_none_is_refused(said, told):
    assert condition(said) == told


def test_a_size_that_is_no_number_fails():
    with pytest.raises(AccessDenied, match=r'failed: \["content-length-range", "test", "10"\]'):
        policy(["content-length-range", "test", "10"])


def test_dollars_may_be_escaped_as_s3_documents_it():
    document = r'{"expiration": "2015-12-30T12:00:00Z", "conditions": [["eq", "\$key", "\$a\\$b\v"]]}'
    assert FormPolicy.parse(written(document)).conditions == [("eq", "$key", "$a\\$b\v")]


async def held(said, size, limit=None):
    body = Body(chunks([b"x" * size]), None, limit=limit)
    policy(*said).hold(body)
    return await body.read()


@pytest.mark.parametrize("said", [["content-length-range", 5, 10], ["content-length-range", "5", "10"]])
async def test_a_file_has_a_size_within_the_bounds(said):
    for size in (5, 10):
        assert len(await held([said], size)) == size
    with pytest.raises(EntityTooSmall) as small:
        await held([said], 4)
    assert small.value.fields == {"ProposedSize": "4", "MinSizeAllowed": "5"}
    with pytest.raises(EntityTooLarge) as large:
        await held([said], 12)
    assert large.value.fields == {"ProposedSize": "12", "MaxSizeAllowed": "10"}


async def test_of_several_bounds_the_narrowest_hold():
    bounds = [["content-length-range", 0, 10], ["content-length-range", 4, 100]]
    assert len(await held(bounds, 10, limit=50)) == 10
    for size in (3, 11):
        with pytest.raises((EntityTooSmall, EntityTooLarge)):
            await held(bounds, size)
    with pytest.raises(EntityTooLarge):
        await held([["content-length-range", 0, 100]], 51, limit=50)
    assert await held([], 60, limit=60)


scraps = st.sampled_from(
    [None, True, -1, 5, 10**30, "", "5", "eq", "starts-with", "content-length-range", "$key", "$", {}]
)
said = st.lists(scraps, max_size=4) | st.dictionaries(st.sampled_from(["key", "", "$key"]), scraps, max_size=2) | scraps


@given(st.lists(said, max_size=3) | scraps)
def test_whatever_stands_in_a_policy_it_holds_or_is_refused_in_words_of_s3(conditions):
    with suppress(AccessDenied, InvalidPolicyDocument):
        FormPolicy.parse(written({"expiration": EXPIRATION, "conditions": conditions})).check(FORM, "b", NOW)
