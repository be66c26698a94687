"""What a client can write must not keep the event loop busy, however it is written."""

import time

import pytest

from gateway.auth import moment
from gateway.auth.chunked import LONGEST_TRAILERS, Decoder
from gateway.errors import MalformedTrailerError
from gateway.operations.headers import parse_range
from gateway.sigv4 import canonical_query, canonical_uri, fold

LONG = 16 * 1024
AT_ONCE_S = 0.3


@pytest.fixture(autouse=True)
def _at_once():
    started = time.process_time()
    yield
    assert time.process_time() - started < AT_ONCE_S


@pytest.mark.parametrize("filling", [b" ", b"\t", b" \t", b"x", b"x ", b" x"])
def test_a_trailer_full_of_anything_is_refused_at_once(filling):
    line = b"x-amz-checksum-crc32:" + filling * ((LONGEST_TRAILERS - 100) // len(filling)) + b"\x01\n"
    with pytest.raises(MalformedTrailerError):
        Decoder(None, ("x-amz-checksum-crc32",)).feed(b"0\r\n" + line)


@pytest.mark.parametrize("filling", [" ", "0", "0 ", "-", " - ", "\t", "bytes=", ","])
@pytest.mark.parametrize("end", ["x", "-", "-x", "- 1x", ""])
def test_a_range_full_of_anything_is_read_at_once(filling, end):
    parse_range("bytes=" + filling * (LONG // len(filling)) + end)


@pytest.mark.parametrize("filling", [" ", "0", "0 ", ":", "GMT ", "Mon, ", "-", "+1"])
def test_a_date_full_of_anything_is_read_at_once(filling):
    moment.from_date("Mon, 1 Jan 2024 " + filling * (LONG // len(filling)))
    assert moment.from_date(filling * (LONG // len(filling))) is None


@pytest.mark.parametrize("filling", ["%", "%2", "%41", "%C3%28", "+", "&", "=", "a=b&", "é", "//", "/./"])
def test_a_target_full_of_anything_is_canonical_at_once(filling):
    canonical_query(filling * (LONG // len(filling)))
    canonical_uri("/" + filling * (LONG // len(filling)))


@pytest.mark.parametrize("filling", [" ", "\t", " \t", "a ", ","])
def test_headers_full_of_blanks_are_folded_at_once(filling):
    fold([("x-amz-meta-a", filling * (LONG // len(filling)) + "x")])
    fold([("x-amz-meta-a", "x")] * 100)
