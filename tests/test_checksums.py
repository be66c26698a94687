import hashlib
import zlib
from base64 import b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.checksums import (
    ALGORITHMS,
    DEFAULT,
    MD5,
    Checksum,
    Digest,
    combine,
    composite,
    decode,
    multipart_etag,
)

WITH_COMBINE = [name for name, algorithm in ALGORITHMS.items() if algorithm.combine]
SHA512_CHECK = (
    "d9e6762dd1c8eaf6d61b3c6192fc408d4d6d5f1176d0c29169bc24e71c3f274a"
    "d27fcd5811b313d681f7e55ec02d73d499c95455b6b5bb503acf574fba8ffe85"
)
SPLIT = st.lists(st.binary(max_size=300), min_size=1, max_size=6)


def digest_of(algorithm, *pieces):
    digest = Digest()
    digest.want(algorithm)
    for piece in pieces:
        digest.update(piece)
    return digest[algorithm]


def checksum(algorithm, data):
    return Checksum.of(algorithm, digest_of(algorithm, data))


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        # the check values of "123456789" in https://reveng.sourceforge.io/crc-catalogue/all.htm
        ("CRC32", "cbf43926"),
        ("CRC32C", "e3069283"),
        ("CRC64NVME", "ae8b14860a799888"),
        # computed by sha1sum, sha256sum, sha512sum, md5sum and xxhsum
        ("SHA1", "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
        ("SHA256", "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"),
        ("SHA512", SHA512_CHECK),
        (MD5, "25f9e794323b453885f5181f1b624d0b"),
        ("XXHASH64", "8cb841db40e6ae83"),
        ("XXHASH3", "72dcb18b67a17dff"),
        ("XXHASH128", "33119477ede5dcd5e9716427681d5860"),
    ],
)
def test_published_check_values_are_met(algorithm, expected):
    assert digest_of(algorithm, b"123456789").hex() == expected
    assert digest_of(algorithm, b"1234", b"", b"56789").hex() == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        # https://www.rfc-editor.org/rfc/rfc3720#appendix-B.4, there with the bytes in the other order
        (bytes(32), "8a9136aa"),
        (b"\xff" * 32, "62a8ab43"),
        (bytes(range(32)), "46dd794e"),
        (bytes(reversed(range(32))), "113fdb5c"),
    ],
)
def test_crc32c_is_that_of_rfc_3720(data, expected):
    assert digest_of("CRC32C", data).hex() == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        # the examples of 4 KiB in the NVM Command Set Specification 1.0d, section 5.2.1.3.5
        (bytes(4096), "6482d367eb22b64e"),
        (b"\xff" * 4096, "c0ddba7302eca3ac"),
        (bytes(range(256)) * 16, "3e729f5f6750449c"),
        (bytes(reversed(range(256))) * 16, "9a2df64b8e9e517e"),
    ],
)
def test_crc64nvme_is_that_of_its_specification(data, expected):
    assert digest_of("CRC64NVME", data).hex() == expected


@pytest.mark.parametrize(("algorithm", "width"), [("CRC32", 4), ("CRC32C", 4), ("CRC64NVME", 8), ("SHA1", 20)])
def test_a_checksum_of_nothing_has_its_full_width(algorithm, width):
    assert len(digest_of(algorithm)) == ALGORITHMS[algorithm].width == width
    if algorithm.startswith("CRC"):
        assert digest_of(algorithm) == bytes(width)


@given(SPLIT)
def test_pieces_do_not_matter(pieces):
    whole = b"".join(pieces)
    for algorithm in ALGORITHMS:
        assert digest_of(algorithm, *pieces) == digest_of(algorithm, whole)
    assert digest_of("CRC32", whole) == zlib.crc32(whole).to_bytes(4, "big")


@pytest.mark.parametrize("algorithm", WITH_COMBINE)
@settings(max_examples=50)
@given(pieces=SPLIT)
def test_the_checksum_of_a_whole_is_told_from_its_parts(algorithm, pieces):
    parts = [(checksum(algorithm, piece), len(piece)) for piece in pieces]
    assert combine(parts) == checksum(algorithm, b"".join(pieces))


@pytest.mark.parametrize("algorithm", WITH_COMBINE)
def test_large_parts_are_combined_as_well(algorithm):
    first, second = b"a" * 5_242_880, b"b" * 3_000_001
    parts = [(checksum(algorithm, data), len(data)) for data in (first, second)]
    assert combine(parts) == checksum(algorithm, first + second)


@pytest.mark.parametrize("algorithm", ["SHA1", "SHA256", "SHA512", MD5, "XXHASH3"])
def test_the_hash_of_a_whole_cannot_be_told_from_its_parts(algorithm):
    with pytest.raises(ValueError, match=algorithm):
        combine([(checksum(algorithm, b"part"), 4)])


def test_a_composite_is_the_checksum_of_the_raw_checksums():
    parts = [checksum("SHA256", data) for data in (b"one", b"two")]
    raw = hashlib.sha256(b"one").digest() + hashlib.sha256(b"two").digest()
    expected = b64encode(hashlib.sha256(raw).digest()).decode() + "-2"
    assert composite(parts) == Checksum("SHA256", expected, composite=True)
    assert composite(parts).type == "COMPOSITE"
    assert composite(parts).raw == hashlib.sha256(raw).digest()


def test_a_composite_is_that_of_the_tutorial():
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/tutorial-s3-mpu-additional-checksums.html, step 9
    parts = [
        "QLl8R4i4+SaJlrl8ZIcutc5TbZtwt2NwB8lTXkd3GH0=",
        "xCdgs1K5Bm4jWETYw/CmGYr+m6O2DcGfpckx5NVokvE=",
        "f5wsfsa5bB+yXuwzqG1Bst91uYneqGD3CCidpb54mAo=",
    ]
    made = composite([Checksum("SHA256", value) for value in parts])
    assert made.value == "aI8EoktCdotjU8Bq46DrPCxQCGuGcPIhJ51noWs6hvk=-3"


def test_the_etag_of_parts_is_the_md5_of_their_md5s():
    etags = [hashlib.md5(data).hexdigest() for data in (b"one", b"two", b"three")]
    raw = b"".join(bytes.fromhex(etag) for etag in etags)
    assert multipart_etag(etags) == f"{hashlib.md5(raw).hexdigest()}-3"


def test_names_of_headers_and_elements_are_those_of_s3():
    assert [a.header for a in ALGORITHMS.values()] == [
        "x-amz-checksum-crc32",
        "x-amz-checksum-crc32c",
        "x-amz-checksum-crc64nvme",
        "x-amz-checksum-sha1",
        "x-amz-checksum-sha256",
        "x-amz-checksum-sha512",
        "x-amz-checksum-md5",
        "x-amz-checksum-xxhash64",
        "x-amz-checksum-xxhash3",
        "x-amz-checksum-xxhash128",
    ]
    assert [a.element for a in ALGORITHMS.values()][2:4] == ["ChecksumCRC64NVME", "ChecksumSHA1"]
    assert Checksum("SHA1", "").header == "x-amz-checksum-sha1"
    assert Checksum("SHA1", "").type == "FULL_OBJECT"
    assert DEFAULT in ALGORITHMS


@pytest.mark.parametrize(
    ("algorithm", "value", "expected"),
    [
        ("CRC32", "y/Q5Jg==", bytes.fromhex("cbf43926")),
        ("CRC32", "y/Q5Jg", None),
        ("CRC32", "y/Q5Jg==\n", None),
        ("CRC32", " y/Q5Jg==", None),
        ("CRC32", "y_Q5Jg==", None),
        ("CRC32", "y/Q5Jg==-1", None),
        ("CRC32", "", None),
        ("CRC32", "AAAA", None),
        ("CRC64NVME", "y/Q5Jg==", None),
        ("SHA256", "ü" * 44, None),
        (MD5, "JfnnlDI7RTiF9RgfG2JNCw==", bytes.fromhex("25f9e794323b453885f5181f1b624d0b")),
        (MD5, "JfnnlDI7RTiF9RgfG2JN", None),
    ],
)
def test_only_the_base64_of_a_whole_digest_is_decoded(algorithm, value, expected):
    assert decode(algorithm, value) == expected


def test_a_digest_computes_only_what_was_asked_for():
    digest = Digest()
    assert digest.algorithms == ()
    digest.want("SHA1")
    digest.want(MD5)
    digest.want("SHA1")
    assert digest.algorithms == ("SHA1", MD5)
    with pytest.raises(KeyError):
        digest["CRC32"]


def test_asking_twice_does_not_begin_anew():
    digest = Digest()
    digest.want(MD5)
    digest.update(b"some")
    digest.want(MD5)
    assert digest[MD5] == hashlib.md5(b"some").digest()
