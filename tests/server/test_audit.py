"""What was denied and what administers is in the log, with who, what, from where and the result; no secret ever is."""

import contextlib
import json
import re
import urllib.error
import urllib.request

import pytest
from botocore.exceptions import ClientError

from gateway.auth.claimed import claimed_key
from gateway.message import Headers
from tests.gateway_process import GatewayProcess, running, until

FIELDS = [
    *("time", "level", "event", "request_id", "method", "operation", "bucket", "key", "key_id", "proven", "remote"),
    *("status", "error", "result"),
]
SECRETS = {"TESTKEY": "test-secret-key", "SOME": "some-secret-key", "NOBODY": "nobodys-secret-key"}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    keys = [
        {"access_key": "TESTKEY", "secret_key": SECRETS["TESTKEY"]},
        {"access_key": "SOME", "secret_key": SECRETS["SOME"], "allow": ["read,delete media/open/*"]},
    ]
    log = {"format": "json", "level": "warning"}
    process = GatewayProcess(tmp_path_factory.mktemp("audited"), extra={"keys": keys, "log": log})
    with running(process):
        process.client().create_bucket(Bucket="media")
        until(lambda: events(process))  # its line may come behind its answer, and would be taken for that of a test
        yield process


def client(gateway, access_key, secret_key=""):
    gateway.access_key, gateway.secret_key = access_key, secret_key or SECRETS[access_key]
    return gateway.client()


@pytest.fixture
def audited(gateway):
    """The events that a test has caused: those before one more, since an answer may be there before its line is."""
    before = len(events(gateway))

    def told():
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(f"{gateway.endpoint}/media/last")
        return until(lambda: caused if (caused := events(gateway)[before:]) and caused[-1]["key"] == "last" else None)[
            :-1
        ]

    return told


def events(gateway):
    gateway_log = [json.loads(line) for line in gateway.log.splitlines() if line.startswith("{")]
    return [event for event in gateway_log if event["event"] == "audit"]


def refused(call, **said):
    with pytest.raises(ClientError) as caught:
        call(**said)
    return caught.value.response


def test_a_denied_call_is_told_with_who_what_where_and_its_id(gateway, audited):
    answer = refused(client(gateway, "SOME").get_object, Bucket="media", Key="closed/ü")
    [event] = audited()
    assert list(event) == FIELDS
    assert event | {"time": ""} == {
        "time": "",
        "level": "info",
        "event": "audit",
        "request_id": answer["ResponseMetadata"]["RequestId"],
        "method": "GET",
        "operation": "GetObject",
        "bucket": "media",
        "key": "closed/ü",
        "key_id": "SOME",
        "proven": True,
        "remote": "127.0.0.1",
        "status": 403,
        "error": "AccessDenied",
        "result": "denied",
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event["time"])


@pytest.mark.parametrize(
    ("access_key", "secret", "error"),
    [("NOBODY", "", "InvalidAccessKeyId"), ("SOME", "another-secret", "SignatureDoesNotMatch")],
)
def test_a_sender_who_is_not_believed_is_told_by_the_id_that_was_named(gateway, audited, access_key, secret, error):
    refused(client(gateway, access_key, secret).list_objects_v2, Bucket="media")
    [event] = audited()
    assert (event["key_id"], event["proven"], event["error"], event["result"]) == (access_key, False, error, "denied")


def test_a_url_that_is_not_believed_is_told_without_its_signature(gateway, audited):
    url = client(gateway, "SOME").generate_presigned_url("get_object", {"Bucket": "media", "Key": "open/a"})
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(url.replace("Signature=", "Signature=A"))
    [event] = audited()
    assert (event["key_id"], event["proven"], event["key"]) == ("SOME", False, "open/a")


def test_what_nobody_has_signed_is_told_without_an_id(gateway, audited):
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(f"{gateway.endpoint}/media/a")
    [event] = audited()
    assert (event["key_id"], event["proven"], event["error"]) == ("", False, "AccessDenied")


def test_administration_is_told_whether_it_was_done_or_failed(gateway, audited):
    administrator = client(gateway, "TESTKEY")
    administrator.create_bucket(Bucket="other")
    administrator.delete_bucket(Bucket="other")
    refused(administrator.delete_bucket, Bucket="other")
    administrator.put_object(Bucket="media", Key="open/a", Body=b"x")
    administrator.get_bucket_acl(Bucket="media")
    told = [(event["operation"], event["error"], event["result"]) for event in audited()]
    assert told == [
        ("CreateBucket", "", "done"),
        ("DeleteBucket", "", "done"),
        ("DeleteBucket", "NoSuchBucket", "failed"),
        ("GetBucketAcl", "", "done"),
    ]


def test_each_key_that_was_denied_to_a_call_that_did_the_rest_is_told(gateway, audited):
    objects = [{"Key": key} for key in ("open/a", "closed/a", "closed/b")]
    answer = client(gateway, "SOME").delete_objects(Bucket="media", Delete={"Objects": objects})
    assert len(answer["Errors"]) == 2
    told = [(event["key"], event["status"], event["error"], event["result"]) for event in audited()]
    assert told == [("closed/a", 200, "AccessDenied", "denied"), ("closed/b", 200, "AccessDenied", "denied")]


def test_what_is_allowed_and_administers_nothing_is_not_told(gateway, audited):
    owner = client(gateway, "TESTKEY")
    owner.put_object(Bucket="media", Key="open/a", Body=b"x")
    owner.get_object(Bucket="media", Key="open/a")["Body"].read()
    refused(owner.get_object, Bucket="media", Key="missing")
    assert audited() == []


def test_no_secret_and_no_signature_is_in_the_log(gateway):
    with contextlib.suppress(ClientError):
        client(gateway, "SOME", SECRETS["NOBODY"]).list_buckets()
    assert events(gateway)
    assert not any(secret in gateway.log for secret in SECRETS.values())
    assert not re.search(r"(?i)signature[=:]", gateway.log)


def test_all_events_begin_alike_and_tell_the_time_to_the_millisecond(tmp_path):
    with running(GatewayProcess(tmp_path, extra={"log": {"format": "json"}})) as process:
        process.client().create_bucket(Bucket="media")
        process.stop()
    told = [json.loads(line) for line in process.log.splitlines() if line.startswith("{")]
    assert {"audit", "request", "draining"} <= {event["event"] for event in told}
    for event in told:
        assert list(event)[:3] == ["time", "level", "event"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event["time"])


def test_the_audit_log_can_be_turned_off(tmp_path):
    log = {"format": "json", "audit": False}
    with running(GatewayProcess(tmp_path, extra={"log": log})) as process:
        process.client().create_bucket(Bucket="media")
        process.stop()
    told = [json.loads(line)["event"] for line in process.log.splitlines() if line.startswith("{")]
    assert "request" in told
    assert "audit" not in told


@pytest.mark.parametrize(
    "authorization",
    [
        "AWS4-HMAC-SHA256 Credential=a\nb/20260101/us-east-1/s3/aws4_request",
        "AWS4-HMAC-SHA256 Credential=wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        "AWS " + "a" * 129 + ":x",
        "Bearer something",
        "",
    ],
)
def test_what_cannot_be_an_id_is_not_repeated(authorization):
    call = Named(Headers([("authorization", authorization)]))
    assert claimed_key(call) == ""


@pytest.mark.parametrize(
    ("form", "named"),
    [
        ({"x-amz-credential": "SOME/20260101/us-east-1/s3/aws4_request"}, "SOME"),
        ({"awsaccesskeyid": "SOME"}, "SOME"),
        ({"awsaccesskeyid": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}, ""),
        ({}, ""),
    ],
)
def test_a_form_names_its_key_in_a_field(form, named):
    assert claimed_key(Named(Headers([]), form)) == named


class Named:
    """As much of a call as names a key."""

    def __init__(self, headers, form=None):
        self.headers, self.query, self.form = headers, {}, form
