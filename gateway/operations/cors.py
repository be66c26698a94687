"""What pages of other origins are told: preflights, GetBucketCors, and the headers that every answer bears."""

from collections.abc import Mapping, Sequence
from typing import Final

from gateway.cors import METHODS, VARY, Cors, Rule
from gateway.errors import AccessForbidden, BadRequest, NoSuchCORSConfiguration
from gateway.message import Answer, Call
from gateway.operations import xml
from gateway.operations.row import Scope
from gateway.operations.service import Service

_NOT_ALLOWED: Final = (  # "evalution" is S3's word
    "CORSResponse: This CORS request is not allowed. This is usually because the evalution of Origin, request method / "
    "Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted by the resource's CORS spec."
)


def headers(service: Service, call: Call) -> Mapping[str, str] | None:
    """Return what the answer to a call says to browsers, whatever the answer is: without it a page sees no error.

    As S3 does, judge any call as a preflight where it says what one says. None: there are no rules.
    """
    cors = _of(service, call)
    if cors is None:
        return None
    if "origin" not in call.headers:
        return VARY
    method = call.headers.get("access-control-request-method", call.method)
    return cors.headers(call.headers["origin"], method, _asked(call)) or VARY


async def preflight(service: Service, call: Call) -> Answer:
    """Say whether a page may make the request that it asks for; `headers` tell what it may know of the answer.

    Of buckets, only the configuration is told of, not which there are: S3 says "Bucket not found" of those it lacks.
    https://docs.aws.amazon.com/AmazonS3/latest/API/RESTOPTIONSobject.html
    """
    if "origin" not in call.headers:
        raise BadRequest("Insufficient information. Origin request header needed.")
    method = call.headers.get("access-control-request-method")
    cors = _of(service, call)
    if cors is None:
        raise AccessForbidden(Method=method or call.method, ResourceType=Scope.BUCKET)
    if method not in METHODS:
        raise BadRequest(f"Invalid Access-Control-Request-Method: {method or 'null'}")
    if cors.headers(call.headers["origin"], method, _asked(call)) is None:
        raise AccessForbidden(_NOT_ALLOWED, Method=method, ResourceType=Scope.OBJECT if call.key else Scope.BUCKET)
    return Answer()


async def get_bucket_cors(service: Service, call: Call) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketCors.html."""
    await service.storage.head_bucket(call.bucket)
    cors = service.cors(call.bucket)
    if cors is None:
        raise NoSuchCORSConfiguration(BucketName=call.bucket)
    return xml.answer("CORSConfiguration", {"CORSRule": [_element(rule) for rule in cors.rules]})


def _of(service: Service, call: Call) -> Cors | None:
    """Return the rules of the bucket that is asked; what is asked of no bucket is for no page."""
    return service.cors(call.bucket) if call.bucket else None


def _asked(call: Call) -> Sequence[str]:
    """Return the names of the headers that a page wants to send."""
    said = ",".join(call.headers.all("access-control-request-headers"))
    return [name for part in said.split(",") if (name := part.strip())]


def _element(rule: Rule) -> dict[str, object]:
    return {
        "ID": rule.id,
        "AllowedOrigin": list(rule.allowed_origins),
        "AllowedMethod": list(rule.allowed_methods),
        "AllowedHeader": list(rule.allowed_headers),
        "ExposeHeader": list(rule.expose_headers),
        "MaxAgeSeconds": rule.max_age,
    }
