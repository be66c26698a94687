"""Forms are believed by the signature of their policy: examples of AWS, botocore as signer, and what is wrong."""

import calendar
import json
import time
from base64 import b64encode
from hmac import digest

import pytest

from gateway.auth.verify import Verifier
from gateway.errors import (
    AccessDenied,
    EntityTooLarge,
    InvalidAccessKeyId,
    InvalidArgument,
    InvalidPolicyDocument,
    InvalidRequest,
    InvalidToken,
    NotImplementedByGateway,
    S3Error,
    SignatureDoesNotMatch,
)
from gateway.sigv4 import Scope, signing_key
from tests.auth.calls import ACCESS, KEYS, SECRET, call
from tests.forms import signed

SIGNED_AT = calendar.timegm((2015, 12, 29, 0, 0, 0))
POLICY = (
    '{ "expiration": "2015-12-30T12:00:00.000Z",\r\n  "conditions": [\r\n    {"bucket": "sigv4examplebucket"},\r\n'
    '    ["starts-with", "$key", "user/user1/"],\r\n    {"acl": "public-read"},\r\n'
    '    {"success_action_redirect": "http://sigv4examplebucket.s3.amazonaws.com/successful_upload.html"},\r\n'
    '    ["starts-with", "$Content-Type", "image/"],\r\n    {"x-amz-meta-uuid": "14365123651274"},\r\n'
    '    {"x-amz-server-side-encryption": "AES256"},\r\n    ["starts-with", "$x-amz-meta-tag", ""],\r\n\r\n'
    '    {"x-amz-credential": "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request"},\r\n'
    '    {"x-amz-algorithm": "AWS4-HMAC-SHA256"},\r\n    {"x-amz-date": "20151229T000000Z" }\r\n  ]\r\n}'
)
EXAMPLE = {
    "key": "user/user1/cat.jpg",
    "acl": "public-read",
    "success_action_redirect": "http://sigv4examplebucket.s3.amazonaws.com/successful_upload.html",
    "content-type": "image/jpeg",
    "x-amz-meta-uuid": "14365123651274",
    "x-amz-server-side-encryption": "AES256",
    "x-amz-credential": "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request",
    "x-amz-algorithm": "AWS4-HMAC-SHA256",
    "x-amz-date": "20151229T000000Z",
    "x-amz-meta-tag": "",
    "policy": b64encode(POLICY.encode()).decode(),
    "x-amz-signature": "8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e",
}


def verified(form, *, bucket="bucket", clock=time.time, headers=(), query="", **settings):
    asked = call("POST", f"/{bucket}{query}", headers, b"bytes")
    asked.form = {name.lower(): value for name, value in form.items()}
    verifier = Verifier(KEYS, "us-east-1", clock=clock, **settings)
    return verifier.verify(asked), asked


def refused(form, kind, **more):
    with pytest.raises(kind) as caught:
        verified(form, **more)
    return caught.value


@pytest.fixture(params=["s3v4", "s3"])
def form(request):
    return signed("key", version=request.param)


def test_published_example_is_accepted():
    """https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-post-example.html."""
    caller, _ = verified(EXAMPLE, bucket="sigv4examplebucket", clock=lambda: SIGNED_AT)
    assert caller.access_key == ACCESS


@pytest.mark.parametrize("field", ["x-amz-signature", "x-amz-credential", "x-amz-date", "policy"])
def test_a_published_example_that_was_changed_is_not(field):
    changed = {**EXAMPLE, field: EXAMPLE[field].replace("1", "2", 1)}
    assert changed != EXAMPLE
    refused(changed, S3Error, bucket="sigv4examplebucket", clock=lambda: SIGNED_AT)


def test_what_botocore_signs_is_accepted(form):
    assert verified(form)[0].access_key == ACCESS


def test_without_a_signature_it_is_nobodys():
    assert verified({"key": "key"})[0].anonymous


def test_a_policy_that_nobody_signed_must_hold_too(form):
    unsigned = {"key": form["key"], "policy": form["policy"]}
    if "signature" in form:
        assert verified(unsigned)[0].anonymous
    refused({**unsigned, "key": "other"}, AccessDenied)


def test_a_wrong_signature_is_refused_before_the_policy_is_read(form):
    error = refused({**form, "policy": form["policy"][:-2]}, SignatureDoesNotMatch)
    assert error.fields["StringToSign"] == form["policy"][:-2]
    assert SECRET not in str(error.fields)


@pytest.mark.parametrize("version", ["s3v4", "s3"])
def test_an_unknown_key_and_a_wrong_secret_are_refused(version):
    refused(signed("key", version=version, access_key="AKIDNONE"), InvalidAccessKeyId)
    refused(signed("key", version=version, secret_key="wrong"), SignatureDoesNotMatch)


def test_an_empty_access_key_is_no_one():
    form = signed("key", version="s3")
    form["signature"] = b64encode(digest(b"", form["policy"].encode(), "sha1")).decode()
    refused({**form, "AWSAccessKeyId": ""}, InvalidAccessKeyId)


@pytest.mark.parametrize(
    ("version", "missing", "told"),
    [
        ("s3v4", ["x-amz-algorithm", "x-amz-credential"], "X-Amz-Algorithm"),
        ("s3v4", ["x-amz-credential"], "X-Amz-Credential"),
        ("s3v4", ["x-amz-date"], "X-Amz-Date"),
        ("s3v4", ["x-amz-signature"], "X-Amz-Signature"),
        ("s3v4", ["policy"], "Policy"),
        ("s3", ["AWSAccessKeyId"], "AWSAccessKeyId"),
        ("s3", ["signature"], "Signature"),
        ("s3", ["policy"], "Policy"),
    ],
)
def test_what_a_signed_form_lacks_is_told(version, missing, told):
    form = {name: value for name, value in signed("key", version=version).items() if name not in missing}
    error = refused(form, InvalidArgument)
    assert error.fields == {"ArgumentName": told, "ArgumentValue": ""}
    assert f"must contain a field named '{told}'.  If" in str(error)


@pytest.mark.parametrize(
    ("field", "value", "kind"),
    [
        ("x-amz-algorithm", "AWS4-HMAC-SHA1", InvalidArgument),
        ("x-amz-algorithm", "AWS4-ECDSA-P256-SHA256", NotImplementedByGateway),
        ("x-amz-date", "2015-12-29T00:00:00Z", InvalidArgument),
        ("x-amz-date", "20151228T000000Z", InvalidArgument),
        ("x-amz-credential", "AKIAIOSFODNN7EXAMPLE", InvalidArgument),
        ("x-amz-credential", "AKIAIOSFODNN7EXAMPLE/20151229/eu-west-1/s3/aws4_request", InvalidArgument),
        ("x-amz-credential", "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/sqs/aws4_request", InvalidArgument),
        ("x-amz-security-token", "token", InvalidToken),
    ],
)
def test_what_is_wrong_with_a_field_is_told(field, value, kind):
    refused({**EXAMPLE, field: value}, kind, bucket="sigv4examplebucket", clock=lambda: SIGNED_AT)


def test_the_right_region_is_told():
    error = refused(signed("key", region="eu-west-1"), InvalidArgument)
    assert str(error) == "the region 'eu-west-1' is wrong; expecting 'us-east-1'"
    assert error.fields["Region"] == "us-east-1"


@pytest.mark.parametrize(("later", "accepted"), [(-901, False), (-899, True), (604_799, True), (604_801, False)])
def test_a_signature_is_good_for_a_week(later, accepted):
    form = signed("key", expires=10**8)
    clock = lambda: time.time() + later  # noqa: E731  a clock
    if accepted:
        assert verified(form, clock=clock)[0].access_key == ACCESS
    else:
        refused(form, AccessDenied, clock=clock)


def test_a_policy_that_has_expired_is_refused(form):
    error = refused(form, AccessDenied, clock=lambda: time.time() + 3601)
    assert str(error) == "Invalid according to Policy: Policy expired."


def test_a_form_for_another_bucket_is_refused(form):
    refused(form, AccessDenied, bucket="other")


def test_a_field_that_was_changed_or_added_is_refused(form):
    refused({**form, "key": "other"}, AccessDenied)
    refused({**form, "acl": "public-read"}, AccessDenied)


def test_what_a_signature_says_of_itself_must_be_in_the_policy():
    """Else whoever has an old form could date it anew."""
    form, conditions = signed("key"), [{"bucket": "bucket"}, {"key": "key"}]
    document = json.dumps({"expiration": "2999-01-01T00:00:00Z", "conditions": conditions})
    form["policy"] = b64encode(document.encode()).decode()
    key = signing_key(SECRET, Scope(form["x-amz-date"][:8], "us-east-1"))
    form["x-amz-signature"] = digest(key, form["policy"].encode(), "sha256").hex()
    error = refused(form, AccessDenied)
    assert str(error).endswith("Extra input fields: x-amz-algorithm, x-amz-credential, x-amz-date")


def test_a_policy_that_is_none_is_refused_when_its_signature_is_right():
    form = {"key": "key", "AWSAccessKeyId": ACCESS, "policy": "e30="}
    form["signature"] = b64encode(digest(SECRET.encode(), b"e30=", "sha1")).decode()
    refused(form, InvalidPolicyDocument)


async def test_the_size_that_a_policy_allows_is_held_to_the_file():
    _, asked = verified(signed("key", conditions=[["content-length-range", 0, 4]]))
    with pytest.raises(EntityTooLarge):
        await asked.body.read()


def test_version_2_may_be_switched_off():
    refused(signed("key", version="s3"), InvalidRequest, sigv2=False)
    assert verified(signed("key"), sigv2=False)[0].access_key == ACCESS


def test_both_versions_at_once_are_refused():
    refused({**signed("key"), **signed("key", version="s3")}, InvalidArgument)


@pytest.mark.parametrize("more", [{"headers": [("authorization", "AWS a:b")]}, {"query": "?X-Amz-Algorithm=x"}])
def test_a_form_is_signed_in_its_fields_alone(form, more):
    assert "Only one auth mechanism" in str(refused(form, InvalidArgument, **more))
    refused({"key": "key"}, InvalidArgument, **more)
