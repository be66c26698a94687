"""A body that is cut, or is not what it was said to be, is refused, and the old object stays: over http and TLS."""

# ruff: noqa: E501 - tables of nasty values

import base64
import binascii
import hashlib
import ssl
import time

import pytest
from awscrt import checksums
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.auth.chunked import Chain
from gateway.sigv4 import Scope, signing_key
from tests.fuzz.attacked import SECRET, Attacked, configuration, surround, thorough
from tests.gateway_process import GatewayProcess, running
from tests.server.certificates import make

SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
UNSIGNED = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
DATA = b"the new object, " * 1000
WRONG = DATA[:-1] + b"!"
OLD = b"old"


def encoded(digest):
    return base64.b64encode(digest).decode()


DIGESTS = {
    "crc32": lambda data: encoded(binascii.crc32(data).to_bytes(4, "big")),
    "crc32c": lambda data: encoded(checksums.crc32c(data).to_bytes(4, "big")),
    "crc64nvme": lambda data: encoded(checksums.crc64nvme(data).to_bytes(8, "big")),
    "sha1": lambda data: encoded(hashlib.sha1(data).digest()),
    "sha256": lambda data: encoded(hashlib.sha256(data).digest()),
}


class Tls(Attacked):
    @property
    def host(self):
        return f"localhost:{self.gateway.port}"


@pytest.fixture(scope="module")
def over_tls(tmp_path_factory):
    folder, pair = tmp_path_factory.mktemp("tls"), tmp_path_factory.mktemp("pair")
    certificate, key = make(pair, "localhost")
    surround(folder)
    extra = configuration(folder, tls={"certificate": str(certificate), "key": str(key)})
    with running(GatewayProcess(folder, extra=extra)) as process:
        context = ssl.create_default_context(cafile=certificate)
        yield Tls(process, context)
        process.stop()
    Tls(process).check_log()


@pytest.fixture(params=["http", "tls"])
def site(request):
    return request.getfixturevalue("attacked" if request.param == "http" else "over_tls")


@pytest.fixture(params=["PutObject", "UploadPart"])
def target(request, site):
    """A place that holds something old, which must be there in the end."""
    if request.param == "PutObject":
        yield "/private/key"
        assert site.one(site.signed("GET", "/private/key")).body == OLD
        return
    reply = site.one(site.signed("POST", "/private/parts?uploads"), "POST")
    upload = reply.body.partition(b"<UploadId>")[2].partition(b"<")[0].decode()
    part = f"/private/parts?partNumber=1&uploadId={upload}"
    assert site.one(site.signed("PUT", part, [("content-length", "3")]) + OLD).status == 200
    yield part
    listed = site.one(site.signed("GET", f"/private/parts?uploadId={upload}"))
    assert listed.body.count(b"<Part>") == 1
    assert f"{hashlib.md5(OLD).hexdigest()}".encode() in listed.body
    assert site.one(site.signed("DELETE", f"/private/parts?uploadId={upload}"), "DELETE").status == 204


def refused(site, request, *codes):
    reply = site.ask(request)[-1]
    assert reply.code in codes, reply


def length(data):
    return [("content-length", str(len(data)))]


def test_a_wrong_md5_is_refused(site, target):
    fields = [*length(DATA), ("content-md5", encoded(hashlib.md5(WRONG).digest()))]
    refused(site, site.signed("PUT", target, fields) + DATA, "BadDigest")


def test_a_wrong_sha256_is_refused(site, target):
    wrong = hashlib.sha256(WRONG).hexdigest()
    refused(site, site.signed("PUT", target, length(DATA), wrong) + DATA, "XAmzContentSHA256Mismatch")


@pytest.mark.parametrize("algorithm", DIGESTS)
@pytest.mark.parametrize("payload", [None, SIGNED + "-TRAILER", UNSIGNED])
def test_a_wrong_checksum_is_refused_in_header_and_trailer(site, target, algorithm, payload):
    name, value = f"x-amz-checksum-{algorithm}", DIGESTS[algorithm](WRONG)
    if not payload:
        request = site.signed("PUT", target, [*length(DATA), (name, value)]) + DATA
    else:
        request = framed(site, target, payload, [DATA], trailer=(name, value))
    refused(site, request, "BadDigest", "InvalidRequest")


@pytest.mark.parametrize("wrong", range(4))
@pytest.mark.parametrize("trailer", [None, ("x-amz-checksum-crc32", DIGESTS["crc32"](DATA))])
def test_a_wrong_signature_of_a_chunk_or_trailer_is_refused(site, target, wrong, trailer):
    if wrong == 3 and not trailer:
        pytest.skip("no trailer, no signature of it")
    payload = SIGNED + ("-TRAILER" if trailer else "")
    pieces = [DATA[:8192], DATA[8192:]]
    refused(site, framed(site, target, payload, pieces, trailer=trailer, wrong=wrong), "SignatureDoesNotMatch")


@pytest.mark.parametrize("payload", [SIGNED, SIGNED + "-TRAILER", UNSIGNED])
@pytest.mark.parametrize("off", [-1, 1])
def test_a_wrong_decoded_length_is_refused(site, target, payload, off):
    trailer = ("x-amz-checksum-crc32", DIGESTS["crc32"](DATA)) if "TRAILER" in payload else None
    refused(site, framed(site, target, payload, [DATA], trailer=trailer, off=off), "IncompleteBody")


def framed(site, target, payload, pieces, *, trailer=None, wrong=-1, off=0):  # noqa: PLR0913 - all that can be wrong
    """Return a request in frames; the `wrong` signature of its chunks and trailer is not right."""
    said = [("x-amz-decoded-content-length", str(len(b"".join(pieces)) + off))]
    said += [("x-amz-trailer", trailer[0])] if trailer else []
    placeholder = frames(pieces, None if payload == UNSIGNED else Chain(b"", "", Scope("", ""), ""), trailer)
    fields = [*length(placeholder), ("content-encoding", "aws-chunked"), *said]
    start = site.signed("PUT", target, fields, payload)
    if payload == UNSIGNED:
        return start + placeholder
    values = dict(line.split(": ", 1) for line in start.decode().split("\r\n")[1:] if line)
    moment, seed = values["x-amz-date"], values["authorization"].rpartition("=")[2]
    scope = Scope(moment[:8], "us-east-1")
    return start + frames(pieces, Chain(signing_key(SECRET, scope), moment, scope, seed), trailer, wrong)


def frames(pieces, chain, trailer, wrong=-1):
    sent = b""
    for number, piece in enumerate([*pieces, b""]):
        signature = chain.chunk(hashlib.sha256(piece).hexdigest()) if chain else ""
        signature = "0" * 64 if number == wrong else signature
        sent += f"{len(piece):x}{';chunk-signature=' + signature if chain else ''}\r\n".encode() + piece
        sent += b"\r\n" if piece else b""
    if trailer:
        sent += f"{trailer[0]}:{trailer[1]}\r\n".encode()
        signature = chain.trailers(f"{trailer[0]}:{trailer[1]}\n") if chain else ""
        signature = "0" * 64 if wrong == len(pieces) + 1 else signature
        sent += f"x-amz-trailer-signature:{signature}\r\n".encode() if chain else b""
    return sent + b"\r\n"


WAYS = {
    "plain": lambda site, data: site.signed("PUT", "/private/key", length(data)) + data,
    "hashed": lambda site, data: (
        site.signed("PUT", "/private/key", length(data), hashlib.sha256(data).hexdigest()) + data
    ),
    "chunks": lambda site, data: (
        site.signed("PUT", "/private/key", [("transfer-encoding", "chunked")])
        + b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data)
    ),
    "signed": lambda site, data: framed(site, "/private/key", SIGNED, [data]),
    "trailer": lambda site, data: framed(
        site, "/private/key", SIGNED + "-TRAILER", [data], trailer=("x-amz-checksum-crc32", DIGESTS["crc32"](data))
    ),
    "unsigned": lambda site, data: framed(
        site, "/private/key", UNSIGNED, [data], trailer=("x-amz-checksum-sha256", DIGESTS["sha256"](data))
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_these_ways_to_put_are_right(site, way):
    assert site.one(WAYS[way](site, DATA), "PUT").status == 200
    assert site.one(site.signed("GET", "/private/key")).body == DATA
    assert site.one(WAYS[way](site, OLD), "PUT").status == 200


@pytest.mark.parametrize("way", WAYS)
def test_a_body_cut_at_any_byte_leaves_the_old_object(attacked, way):
    """Also where only the last bytes of the framing are missing, and everything else has come."""
    request = WAYS[way](attacked, b"new " * 20)
    start = request.index(b"\r\n\r\n") + 4
    for cut in range(start, len(request)):
        replies = attacked.ask(request[:cut])
        assert [reply.code for reply in replies] in (["IncompleteBody"], ["BadRequest"], []), (cut, replies)
        assert (attacked.gateway.objects / "private" / "key").read_bytes() == OLD, cut


@pytest.mark.parametrize("way", WAYS)
def test_a_body_over_tls_that_breaks_off_leaves_the_old_object(over_tls, way):
    request = WAYS[way](over_tls, DATA)
    start = request.index(b"\r\n\r\n") + 4
    for cut in (start, start + 1, (start + len(request)) // 2, len(request) - 3, len(request) - 1):
        with over_tls.connect() as client:
            client.sendall(request[:cut])
        assert over_tls.one(over_tls.signed("GET", "/private/key")).body == OLD


@thorough
@given(way=st.sampled_from(sorted(WAYS)), data=st.data())
def test_a_body_with_any_byte_changed_is_stored_as_it_was_signed_or_not_at_all(attacked, way, data):
    content = b"new " * 10
    request = bytearray(WAYS[way](attacked, content))
    start = request.index(b"\r\n\r\n") + 4
    at = data.draw(st.integers(start, len(request) - 1))
    request[at] ^= data.draw(st.integers(1, 255))
    replies = attacked.ask(bytes(request))
    stored = (attacked.gateway.objects / "private" / "key").read_bytes()
    if way in {"plain", "chunks"}:
        assert stored in {OLD, bytes(request)[start:]} or len(stored) <= len(content)
    else:
        assert stored in {OLD, content}, (replies, stored)
    if stored != OLD:
        assert replies[0].status == 200
        assert attacked.one(attacked.signed("PUT", "/private/key", [("content-length", "3")]) + OLD).status == 200


BOMB = (
    b'<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">'
    + b"".join(b'<!ENTITY a%d "&a%s;&a%s;">' % (n, str(n - 1).encode(), str(n - 1).encode()) for n in range(1, 40))
    + b"]><Delete><Object><Key>&a39;</Key></Object></Delete>"
)
DOCUMENTS = [
    b"", b"<", b"<Delete/>", b"<Delete>", BOMB, b"<a/>" * 1000, b"<Delete>" + b"<a>" * 100_000, b"<a>" * 5 + b"</a>" * 5,
    b'<?xml version="1.0" encoding="UTF-7"?><Delete/>', b'<?xml version="1.0" encoding="UTF-16"?><Delete/>', b"\xff\xfe<\0a\0/\0>\0",
    b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><Delete/>', b"<Delete><Object><Key>a</Key><Key>b</Key></Object></Delete>",
    b"<Delete>" + b"<Object><Key>a</Key></Object>" * 1001 + b"</Delete>", b"<Delete " + b"a" * 100_000 + b"='b'/>",
    b"<Delete " + b" ".join(b"a%d='b'" % n for n in range(50_000)) + b"/>", b"<Delete>" + b"&#65;" * 200_000 + b"</Delete>",
    b"<Delete><Object><Key>&#0;</Key></Object></Delete>", b"<Delete><Object><Key>&#xD800;</Key></Object></Delete>",
    b"<Delete><Object><Key></Key></Object></Delete>", b"<Delete><Object>text</Object></Delete>", b"<Delete>" + b"x" * 5_000_000,
    b"<CompleteMultipartUpload><Part><PartNumber>-1</PartNumber><ETag>a</ETag></Part></CompleteMultipartUpload>",
    b"<CompleteMultipartUpload><Part><PartNumber>" + b"9" * 5000 + b"</PartNumber><ETag>a</ETag></Part></CompleteMultipartUpload>",
    b"<CompleteMultipartUpload/>", b"<CreateBucketConfiguration><LocationConstraint>../x</LocationConstraint></CreateBucketConfiguration>",
    b"<AccessControlPolicy><Owner/></AccessControlPolicy>", b"<x:Delete xmlns:x='y'/>", b"\0" * 100, b"<Delete>\x01</Delete>",
]  # fmt: skip
PLACES = [("POST", "/private?delete"), ("POST", "/private/key?uploadId=" + "0" * 32), ("PUT", "/private?acl"), ("PUT", "/private/key?acl"),
    ("PUT", "/new-bucket")]  # fmt: skip


@pytest.mark.parametrize("document", DOCUMENTS, ids=range(len(DOCUMENTS)))
@pytest.mark.parametrize(("method", "target"), PLACES)
def test_xml_of_any_kind_is_answered_at_once_and_changes_nothing(attacked, document, method, target):
    before = attacked.inside()
    md5 = encoded(hashlib.md5(document).digest())
    started = time.monotonic()
    reply = attacked.ask(attacked.signed(method, target, [*length(document), ("content-md5", md5)]) + document)[-1]
    assert time.monotonic() - started < 2
    if (target, document) == ("/new-bucket", b"") or reply.status == 200:
        attacked.one(attacked.signed("DELETE", "/new-bucket"), "DELETE")
    assert {name for name in attacked.inside() if "/.gw/" not in name} == {
        name for name in before if "/.gw/" not in name
    }


@thorough
@given(
    document=st.binary(max_size=60)
    | st.text(st.sampled_from("<>/&;!?[]='\" DeletObjcKy\0#x0"), max_size=80).map(str.encode)
)
@example(b"<Delete><Object><Key>key</Key></Object></Delete")
def test_what_is_no_document_deletes_nothing(attacked, document):
    md5 = encoded(hashlib.md5(document).digest())
    request = attacked.signed("POST", "/private?delete", [*length(document), ("content-md5", md5)]) + document
    assert attacked.one(request).status == 400
    assert (attacked.gateway.objects / "private" / "key").read_bytes() == OLD
