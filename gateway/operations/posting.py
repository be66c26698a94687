"""PostObject: the upload of a form in a browser. What stands in its fields is what PutObject has in headers.

https://docs.aws.amazon.com/AmazonS3/latest/API/RESTObjectPOST.html
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTForms.html
"""

import string
from collections.abc import AsyncIterator, Mapping
from typing import Final
from urllib.parse import quote, urlencode, urlsplit

from gateway.errors import (
    EntityTooLarge,
    InvalidArgument,
    InvalidRequest,
    KeyTooLongError,
    MaxPostPreDataLengthExceeded,
    MissingContentLength,
    PreconditionFailed,
)
from gateway.message import KEY_LIMIT, Answer, Call, Headers
from gateway.operations import xml
from gateway.operations.form_data import LIMIT, TYPE, FormData, boundary_of
from gateway.operations.headers import BODY_LIMIT, location
from gateway.operations.metadata import STORED
from gateway.operations.objects import store
from gateway.operations.presigned import refuse_control
from gateway.operations.service import Service
from gateway.storage import Body

FILENAME: Final = "${filename}"
_OTHERWISE: Final = {"acl": "x-amz-acl", "tagging": "x-amz-tagging"}  # fields that are named as no header is
_TAKEN: Final = frozenset({*STORED, "content-md5"})  # what a field may say beside x-amz-..., and no header
# Headers that a browser's page, or a proxy, may add to any request, and that say nothing about the object.
_HARMLESS: Final = frozenset(
    {"x-amz-cf-id", "x-amz-date", "x-amz-expected-bucket-owner", "x-amz-request-payer", "x-amz-user-agent"}
)
_STATUSES: Final = {"200": 200, "201": 201}


async def open_form(call: Call) -> None:
    """Read a form up to its file, and make of the call the upload that it stands for; nothing in it is proven yet.

    Its fields take the place of headers, its file that of the body; how long that is nobody knows before its end.
    Raises: PreconditionFailed (no form), MissingContentLength, EntityTooLarge, MalformedPOSTRequest, KeyTooLongError,
    MaxPostPreDataLengthExceeded, InvalidArgument (no key, not one file), InvalidRequest (fields against headers).
    """
    boundary = boundary_of(call.headers.get("content-type"))
    if boundary is None:
        raise PreconditionFailed(Condition=f"Bucket POST must be of the enclosure-type {TYPE}")
    size = call.body.size
    if size is None and "transfer-encoding" not in call.headers:
        raise MissingContentLength
    if size is not None and size > BODY_LIMIT + LIMIT:
        raise EntityTooLarge(ProposedSize=str(size), MaxSizeAllowed=str(BODY_LIMIT))
    form, chunks = FormData(boundary), aiter(call.body.raw)
    first = await _up_to_the_file(form, chunks)
    call.form = _filled(form)
    call.key = _key(call.form)
    call.headers = _headers(call.headers, call.form)
    limit = BODY_LIMIT if size is None else min(size, BODY_LIMIT)
    call.body = Body(_file(form, first, chunks), None, limit=limit)


async def post_object(service: Service, call: Call) -> Answer:
    """Store the file of a form that `open_form` has opened, and answer as the form wishes."""
    headers, form = await store(service, call), call.form or {}
    headers["Location"] = location(call, safe="")
    if redirect := _redirect(form.get("success_action_redirect") or form.get("redirect", ""), call, headers["ETag"]):
        return Answer(303, {**headers, "Location": redirect})
    answer = Answer(_STATUSES.get(form.get("success_action_status", ""), 204), headers)
    if answer.status == _STATUSES["201"]:
        told = {"Location": headers["Location"], "Bucket": call.bucket, "Key": call.key, "ETag": headers["ETag"]}
        headers["Content-Type"] = "application/xml"
        answer.content = xml.bare("PostResponse", told)
    return answer


async def _up_to_the_file(form: FormData, chunks: AsyncIterator[bytes]) -> list[bytes]:
    """Read the fields, and return what has come of the file with the last of them."""
    async for chunk in chunks:
        first = form.feed(chunk)
        if form.found:
            return first
    form.finish()
    return []


async def _file(form: FormData, first: list[bytes], chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the bytes of the file. Their end is told when that of the form and of the request has come."""
    first.reverse()
    while first:
        yield first.pop()  # so that none is held while the next chunk is waited for
    async for chunk in chunks:
        pieces = form.feed(chunk)
        del chunk
        pieces.reverse()
        while pieces:
            yield pieces.pop()
    form.finish()


def _filled(form: FormData) -> Mapping[str, str]:
    """Return the fields with the name of the file in place of the variable: what follows its last slash or backslash.

    Where the sender gives it no name S3 leaves the variable as it is, though its documentation says otherwise.
    """
    if form.filename is None:
        return form.fields
    name = form.filename.replace("\\", "/").rpartition("/")[2]
    if sum(value.count(FILENAME) for value in form.fields.values()) * len(name) > LIMIT:
        raise MaxPostPreDataLengthExceeded(MaxPostPreDataLengthBytes=str(LIMIT))
    return {field: value.replace(FILENAME, name) for field, value in form.fields.items()}


def _key(fields: Mapping[str, str]) -> str:
    if "key" not in fields:
        message = (
            "Bucket POST must contain a field named 'key'.  If it is specified, please check the order of the fields."
        )
        raise InvalidArgument(message, ArgumentName="key", ArgumentValue="")
    key = fields["key"]
    if not key:
        raise InvalidArgument("User key must have a length greater than 0.", ArgumentName="key", ArgumentValue="")
    if len(key.encode()) > KEY_LIMIT:
        raise KeyTooLongError(Size=str(len(key.encode())), MaxSizeAllowed=str(KEY_LIMIT))
    return key


def _headers(sent: Headers, fields: Mapping[str, str]) -> Headers:
    """Return the headers of the upload: what fields say about the object, and what was sent about the request.

    A header about the object would be covered by no policy. Raises: InvalidRequest, InvalidArgument.
    """
    refused = [name for name in sent.names() if name.startswith("x-amz-") and name not in _HARMLESS]
    said = [(_OTHERWISE.get(name, name), value) for name, value in fields.items()]
    told = [(name, value) for name, value in said if name in _TAKEN or name.startswith("x-amz-")]
    names = [name for name, _ in told]
    if refused or "content-md5" in sent or len(set(names)) < len(names) or _HARMLESS.intersection(names, sent.names()):
        raise InvalidRequest("Conflicting values provided in HTTP headers and POST form fields.")
    for name, value in told:
        refuse_control(name, value)
    return Headers([*(pair for pair in sent.pairs if pair[0] not in _TAKEN), *told])


def _redirect(url: str, call: Call, etag: str) -> str:
    """Return where the browser is sent, "" where the URL is none: then S3 acts as if the field was not there."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        return ""
    query = urlencode({"bucket": call.bucket, "key": call.key, "etag": etag})
    whole = parts._replace(query=f"{parts.query}&{query}" if parts.query else query).geturl()
    return quote(whole, safe=string.punctuation)
