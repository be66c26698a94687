"""What a request promises of its body is held, and what contradicts itself is refused."""

import hashlib
from base64 import b64encode

import pytest

from gateway.checksums import ALGORITHMS, Checksum
from gateway.errors import BadDigest, InvalidDigest, InvalidRequest, MalformedTrailerError
from gateway.operations.checksumming import (
    algorithm_named,
    declared,
    declared_whole,
    elements_of,
    header_of,
    headers_of,
    verify_body,
)
from tests.operations.calls import body, call

DATA = b"hello world" * 1000
ALL = sorted(ALGORITHMS)


def value_of(algorithm, data=DATA):
    running = ALGORITHMS[algorithm].new()
    running.update(data)
    return b64encode(running.digest()).decode()


def md5_of(data=DATA):
    return b64encode(hashlib.md5(data).digest()).decode()


def put(headers, data=DATA, trailers=None):
    made = call("PUT", "/bucket/key", body(data, pieces=3), headers=headers)
    made.body.trailers.update(trailers or {})
    return made


@pytest.mark.parametrize("algorithm", ALL)
async def test_a_body_that_is_what_its_header_says_passes(algorithm):
    good = put({f"x-amz-checksum-{algorithm.lower()}": value_of(algorithm), "x-amz-sdk-checksum-algorithm": algorithm})
    assert verify_body(good) == algorithm
    assert await good.body.read() == DATA


@pytest.mark.parametrize("algorithm", ALL)
async def test_a_body_that_is_not_what_its_header_says_is_refused(algorithm):
    bad = put({f"x-amz-checksum-{algorithm.lower()}": value_of(algorithm, b"other")})
    verify_body(bad)
    with pytest.raises(BadDigest, match=f"The {algorithm} you specified did not match the calculated checksum"):
        await bad.body.read()


async def test_digests_that_headers_declare_are_known_before_the_body():
    said = put({"x-amz-checksum-sha1": value_of("SHA1"), "content-md5": md5_of()})
    verify_body(said)
    assert said.body.declared == {"SHA1": hashlib.sha1(DATA).digest(), "MD5": hashlib.md5(DATA).digest()}
    later = put({"x-amz-trailer": "x-amz-checksum-sha1"})
    verify_body(later)
    assert later.body.declared == {}


@pytest.mark.parametrize("algorithm", ALL)
async def test_a_trailer_is_held_like_a_header(algorithm):
    name = f"x-amz-checksum-{algorithm.lower()}"
    good = put({"x-amz-trailer": name}, trailers={name: value_of(algorithm)})
    assert verify_body(good) == algorithm
    assert await good.body.read() == DATA
    bad = put({"x-amz-trailer": name}, trailers={name: value_of(algorithm, b"other")})
    verify_body(bad)
    with pytest.raises(BadDigest):
        await bad.body.read()


async def test_a_trailer_that_was_announced_must_come():
    without = put({"x-amz-trailer": "x-amz-checksum-crc32"})
    verify_body(without)
    with pytest.raises(MalformedTrailerError):
        await without.body.read()


async def test_a_trailer_that_is_no_checksum_is_invalid():
    garbage = put({"x-amz-trailer": "x-amz-checksum-crc32"}, trailers={"x-amz-checksum-crc32": "!"})
    verify_body(garbage)
    with pytest.raises(InvalidRequest, match="Value for x-amz-checksum-crc32 trailing header is invalid"):
        await garbage.body.read()


@pytest.mark.parametrize("value", ["", "not base64!", "AAAA AAA=", "=="])
def test_a_value_that_is_not_base64_is_invalid(value):
    with pytest.raises(InvalidRequest, match="Value for x-amz-checksum-crc32 header is invalid"):
        verify_body(put({"x-amz-checksum-crc32": value}))


@pytest.mark.parametrize("value", ["bad", "AAAA", "AAAAAAAAAAA="])
def test_a_value_of_another_length_can_only_be_a_mismatch(value):
    with pytest.raises(BadDigest, match="The CRC32 you specified did not match"):
        verify_body(put({"x-amz-checksum-crc32": value}))


@pytest.mark.parametrize("name", ["sha3", "xxhash32", "crc33"])
def test_an_algorithm_that_is_not_served_is_refused_and_not_ignored(name):
    with pytest.raises(InvalidRequest, match="algorithm type you specified"):
        verify_body(put({f"x-amz-checksum-{name}": "AAAA"}))
    with pytest.raises(InvalidRequest, match="Checksum algorithm provided is unsupported"):
        verify_body(put({"x-amz-sdk-checksum-algorithm": name}))
    with pytest.raises(InvalidRequest, match="x-amz-trailer header is not supported"):
        verify_body(put({"x-amz-trailer": f"x-amz-checksum-{name}"}))


@pytest.mark.parametrize(
    "headers",
    [
        {"x-amz-checksum-crc32": "AAAAAA==", "x-amz-checksum-sha1": "AAAA"},
        {"x-amz-checksum-crc32": "", "x-amz-checksum-sha1": ""},
        {"x-amz-checksum-crc32": "AAAAAA==", "x-amz-trailer": "x-amz-checksum-crc32"},
    ],
)
def test_only_one_checksum_may_be_declared(headers):
    with pytest.raises(InvalidRequest, match="Expecting a single x-amz-checksum- header"):
        verify_body(put(headers))


def test_the_algorithm_of_the_sdk_must_be_that_of_the_value():
    with pytest.raises(InvalidRequest, match="Value for x-amz-sdk-checksum-algorithm header is invalid"):
        verify_body(put({"x-amz-checksum-crc32": value_of("CRC32"), "x-amz-sdk-checksum-algorithm": "SHA1"}))


def test_an_algorithm_without_a_value_is_refused():
    with pytest.raises(InvalidRequest, match="no corresponding"):
        verify_body(put({"x-amz-sdk-checksum-algorithm": "CRC32"}))


def test_headers_about_checksums_are_no_checksums():
    about = {"x-amz-checksum-type": "COMPOSITE", "x-amz-checksum-algorithm": "CRC32", "x-amz-checksum-mode": "ENABLED"}
    assert declared(put(about)) is None


async def test_content_md5_is_held():
    good = put({"Content-MD5": md5_of()})
    assert verify_body(good) is None
    assert await good.body.read() == DATA


async def test_content_md5_that_does_not_match_tells_both_digests():
    bad = put({"Content-MD5": md5_of(b"other")})
    verify_body(bad)
    with pytest.raises(BadDigest) as caught:
        await bad.body.read()
    assert caught.value.fields == {
        "ExpectedDigest": hashlib.md5(b"other").hexdigest(),
        "CalculatedDigest": md5_of(),
    }


@pytest.mark.parametrize("value", ["", "YWJyYWNhZGFicmE=", "no", "é"])
def test_content_md5_that_is_none_is_invalid(value):
    with pytest.raises(InvalidDigest) as caught:
        verify_body(put({"Content-MD5": value}))
    assert caught.value.fields == {"Content-MD5": value}


def test_the_checksum_of_a_whole_may_tell_how_many_parts_it_was_made_of():
    value = f"{value_of('SHA256')}-3"
    assert declared_whole(put({"x-amz-checksum-sha256": value})) == Checksum("SHA256", value, composite=True)
    assert declared_whole(put({"x-amz-checksum-sha256": value[:-2]})) == Checksum("SHA256", value[:-2])
    assert declared_whole(put({})) is None


@pytest.mark.parametrize("value", ["bad", "AAAAAA==-x", "AAAAAA==-", "!-3"])
def test_the_checksum_of_a_whole_must_be_one(value):
    with pytest.raises((BadDigest, InvalidRequest)):
        declared_whole(put({"x-amz-checksum-crc32": value}))


def test_algorithms_are_named_in_any_case():
    assert algorithm_named("crc64nvme") == "CRC64NVME"


def test_a_checksum_is_told_in_the_words_of_s3():
    checksum = Checksum("CRC32C", "AAAAAA==-2", composite=True)
    assert headers_of(checksum) == {"x-amz-checksum-crc32c": "AAAAAA==-2", "x-amz-checksum-type": "COMPOSITE"}
    assert elements_of(checksum) == {"ChecksumCRC32C": "AAAAAA==-2", "ChecksumType": "COMPOSITE"}
    assert headers_of(None) == elements_of(None) == header_of(None) == {}
