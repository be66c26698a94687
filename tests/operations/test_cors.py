import pytest

from gateway.cors import Cors, Rule
from gateway.errors import AccessForbidden, BadRequest, NoSuchBucket, NoSuchCORSConfiguration, NotImplementedByGateway
from gateway.operations.cors import headers
from gateway.operations.table import resolve
from tests.operations.calls import bucket, call, parsed, service

APP = "https://app.example.com"
RULES = Cors([Rule([APP], ["GET", "PUT"], ["content-type", "x-amz-*"], ["ETag"], 3000, "app"), Rule(["*"], ["HEAD"])])
VARY = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"


def asking(method="PUT", names=None, origin=APP):
    """Return what a browser sends before a request."""
    asked = {"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": names}
    return {name: value for name, value in asked.items() if value is not None}


async def run(method, target, cors=None, **more):
    asked = call(method, target, **more)
    of = await bucket(service(cors={"bucket": cors} if cors else {}))
    return await resolve(asked).run(of, asked)


async def refusal(expected, method, target, cors=None, **more):
    with pytest.raises(expected) as caught:
        await run(method, target, cors, **more)
    return caught.value


def told(method, target, cors=RULES, **more):
    return headers(service(cors={"bucket": cors} if cors else {}), call(method, target, **more))


@pytest.mark.parametrize("target", ["/bucket", "/bucket/key", "/bucket/key?uploads", "/bucket/key?X-Amz-Signature=s"])
async def test_a_preflight_that_a_rule_allows_is_answered_with_nothing_but_headers(target):
    asked = {"headers": asking("PUT", "content-type, X-Amz-Meta-Author")}
    answer = await run("OPTIONS", target, RULES, **asked)
    assert (answer.status, answer.content) == (200, b"")
    assert told("OPTIONS", target, **asked) == {
        "Access-Control-Allow-Origin": APP,
        "Access-Control-Allow-Methods": "GET, PUT",
        "Access-Control-Allow-Headers": "content-type, x-amz-meta-author",
        "Access-Control-Expose-Headers": "ETag",
        "Access-Control-Max-Age": "3000",
        "Access-Control-Allow-Credentials": "true",
        "Vary": VARY,
    }


@pytest.mark.parametrize(
    "asked",
    [asking("DELETE"), asking(origin="https://evil.example"), asking(names="x-other"), asking("HEAD", "x-amz-a")],
)
async def test_a_preflight_that_no_rule_allows_is_forbidden_in_the_words_of_s3(asked):
    error = await refusal(AccessForbidden, "OPTIONS", "/bucket/key", RULES, headers=asked)
    assert str(error).startswith(
        "CORSResponse: This CORS request is not allowed. This is usually because the evalution"
    )
    assert error.fields == {"Method": asked["Access-Control-Request-Method"], "ResourceType": "OBJECT"}
    assert told("OPTIONS", "/bucket/key", headers=asked) == {"Vary": VARY}


async def test_a_preflight_to_a_bucket_says_so_where_it_is_forbidden():
    error = await refusal(AccessForbidden, "OPTIONS", "/bucket", RULES, headers=asking("DELETE"))
    assert error.fields["ResourceType"] == "BUCKET"


@pytest.mark.parametrize("target", ["/bucket", "/bucket/key", "/bucket/key?acl", "/absent/key", "/"])
@pytest.mark.parametrize("method", ["PUT", None])
async def test_without_rules_no_preflight_is_allowed_and_none_tells_whether_there_is_a_bucket(target, method):
    asked = asking(method)
    error = await refusal(AccessForbidden, "OPTIONS", target, headers=asked)
    assert str(error) == "CORSResponse: CORS is not enabled for this bucket."
    assert error.fields == {"Method": method or "OPTIONS", "ResourceType": "BUCKET"}
    assert told("OPTIONS", target, None, headers=asked) is None


@pytest.mark.parametrize("cors", [RULES, None])
@pytest.mark.parametrize("asked", [{}, {"Access-Control-Request-Method": "PUT"}])
async def test_a_preflight_has_to_say_from_where_it_asks(cors, asked):
    error = await refusal(BadRequest, "OPTIONS", "/bucket/key", cors, headers=asked)
    assert str(error) == "Insufficient information. Origin request header needed."


@pytest.mark.parametrize(
    ("method", "said"), [(None, "null"), ("PATCH", "PATCH"), ("put", "put"), ("OPTIONS", "OPTIONS")]
)
async def test_a_preflight_has_to_say_a_method_that_there_is(method, said):
    error = await refusal(BadRequest, "OPTIONS", "/bucket/key", RULES, headers=asking(method))
    assert str(error) == f"Invalid Access-Control-Request-Method: {said}"


async def test_a_preflight_is_not_held_to_what_the_url_says_of_the_request_to_come():
    signed = "X-Amz-Algorithm=AWS4-HMAC-SHA256&x-amz-storage-class=GLACIER&x-amz-expected-bucket-owner=bob&versionId=1"
    assert (await run("OPTIONS", f"/bucket/key?{signed}", RULES, headers=asking())).status == 200


@pytest.mark.parametrize(("method", "target"), [("GET", "/bucket/key"), ("PUT", "/bucket/key?uploadId=a&partNumber=1")])
async def test_an_answer_to_a_page_says_that_the_page_may_read_it(method, target):
    assert told(method, target, headers={"Origin": APP}) == {
        "Access-Control-Allow-Origin": APP,
        "Access-Control-Allow-Methods": "GET, PUT",
        "Access-Control-Expose-Headers": "ETag",
        "Access-Control-Max-Age": "3000",
        "Access-Control-Allow-Credentials": "true",
        "Vary": VARY,
    }


@pytest.mark.parametrize("sent", [{}, {"Origin": "https://evil.example"}, {"Referer": APP}])
async def test_answers_to_others_say_only_what_they_depend_on(sent):
    assert told("GET", "/bucket/key", headers=sent) == {"Vary": VARY}


async def test_a_request_that_says_what_a_preflight_says_is_judged_by_that():
    assert told("GET", "/bucket/key", headers=asking("DELETE")) == {"Vary": VARY}
    assert told("DELETE", "/bucket/key", headers=asking("GET"))["Access-Control-Allow-Origin"] == APP
    assert told("GET", "/bucket/key", headers=asking(None, "x-other")) == {"Vary": VARY}


@pytest.mark.parametrize("target", ["/", "/other/key"])
async def test_answers_about_what_has_no_rules_say_nothing(target):
    assert told("GET", target, headers={"Origin": APP}) is None


async def test_what_is_asked_of_no_bucket_has_not_the_rules_of_every_bucket():
    of = service(cors={"": RULES})
    assert headers(of, call("GET", "/", headers={"Origin": APP})) is None


async def test_get_bucket_cors_shows_the_rules():
    shown = parsed(await run("GET", "/bucket?cors", RULES))
    assert shown["CORSRule"] == [
        {
            "ID": "app",
            "AllowedOrigin": APP,
            "AllowedMethod": ["GET", "PUT"],
            "AllowedHeader": ["content-type", "x-amz-*"],
            "ExposeHeader": "ETag",
            "MaxAgeSeconds": "3000",
        },
        {"AllowedOrigin": "*", "AllowedMethod": "HEAD"},
    ]


async def test_get_bucket_cors_says_where_there_are_no_rules():
    error = await refusal(NoSuchCORSConfiguration, "GET", "/bucket?cors")
    assert (error.status, error.fields) == (404, {"BucketName": "bucket"})


async def test_get_bucket_cors_says_where_there_is_no_bucket():
    await refusal(NoSuchBucket, "GET", "/absent?cors")


@pytest.mark.parametrize(("method", "operation"), [("PUT", "PutBucketCors"), ("DELETE", "DeleteBucketCors")])
async def test_the_rules_are_not_for_clients_to_change(method, operation):
    error = await refusal(NotImplementedByGateway, method, "/bucket?cors", RULES)
    assert error.fields == {"Operation": operation}
