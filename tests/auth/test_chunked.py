import hashlib
import time
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.auth import chunked
from gateway.auth.chunked import Decoder
from gateway.errors import (
    IncompleteBody,
    InvalidChunkSizeError,
    MalformedTrailerError,
    S3Error,
    SignatureDoesNotMatch,
)
from tests.auth.calls import chunks
from tests.auth.frames import chain, signed, unsigned

CRC = "x-amz-checksum-crc32c"
PIECES = [b"a" * 9000, b"b" * 8192, b"end\r\n0\r\n"]
WHOLE = b"".join(PIECES)


def decoded(pieces: Iterable[bytes], decoder: Decoder) -> tuple[bytes, dict[str, str]]:
    found = [part for piece in pieces for part in decoder.feed(piece)]
    return b"".join(found), decoder.finish()


def bodies(*, trailers: bool) -> dict[str, tuple[bytes, Decoder]]:
    came = {CRC: "sOO8/Q=="} if trailers else None
    announced = {CRC} if trailers else ()
    return {
        "signed": (signed(PIECES, came), Decoder(chain(), announced)),
        "unsigned": (unsigned(PIECES, came), Decoder(None, announced)),
    }


def test_published_example_is_decoded():
    """https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html, "Example: PUT Object"."""
    sent = (
        b"10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n"
        + (b"a" * 65536)
        + b"\r\n400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n"
        + (b"a" * 1024)
        + b"\r\n0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n"
    )
    assert len(sent) == 66824
    assert decoded([sent], Decoder(chain())) == (b"a" * 66560, {})


def test_published_example_with_a_trailer_is_decoded():
    """https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html, "Examples"."""
    sent = (
        b"10000;chunk-signature=b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2\r\n"
        + (b"a" * 65536)
        + b"\r\n400;chunk-signature=1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7\r\n"
        + (b"a" * 1024)
        + b"\r\n0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992\r\n"
        + b"x-amz-checksum-crc32c:sOO8/Q==\r\n"
        + b"x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n"
    )
    decoder = Decoder(chain("106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"), {CRC})
    assert decoded([sent], decoder) == (b"a" * 66560, {CRC: "sOO8/Q=="})


@pytest.mark.parametrize("kind", ["signed", "unsigned"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 100, 8192, 100_000])
def test_bytes_and_trailers_are_the_same_however_the_body_is_cut_up(kind, size):
    sent, decoder = bodies(trailers=True)[kind]
    pieces = [sent[i : i + size] for i in range(0, len(sent), size)]
    assert decoded(pieces, decoder) == (WHOLE, {CRC: "sOO8/Q=="})


@pytest.mark.parametrize("kind", ["signed", "unsigned"])
@pytest.mark.parametrize("trailers", [True, False])
def test_body_may_be_split_at_any_byte(kind, trailers):
    sent, _ = bodies(trailers=trailers)[kind]
    interesting = [*range(120), *range(8980, 9300), *range(17250, len(sent))]
    for cut in interesting:
        _, decoder = bodies(trailers=trailers)[kind]
        assert decoded([sent[:cut], sent[cut:]], decoder)[0] == WHOLE


@pytest.mark.parametrize("kind", ["signed", "unsigned"])
@pytest.mark.parametrize("trailers", [True, False])
def test_body_cut_at_any_byte_is_refused_unless_only_the_last_blank_line_is_missing(kind, trailers):
    sent, _ = bodies(trailers=trailers)[kind]
    for cut in [*range(120), *range(8980, 9300), *range(17250, len(sent) - 2)]:
        _, decoder = bodies(trailers=trailers)[kind]
        with pytest.raises(S3Error) as caught:
            decoded([sent[:cut]], decoder)
        assert caught.value.status == 400


@pytest.mark.parametrize("trailers", [True, False])
def test_one_flipped_bit_anywhere_in_a_signed_body_is_refused_or_changes_nothing(trailers):
    """Only the spelling of the framing can change without changing what is signed."""
    sent, _ = bodies(trailers=trailers)["signed"]
    spots = [*range(100), *range(100, len(sent), 97), *range(17250, len(sent))]
    for spot in spots:
        for bit in range(8):
            broken = sent[:spot] + bytes([sent[spot] ^ 1 << bit]) + sent[spot + 1 :]
            _, decoder = bodies(trailers=trailers)["signed"]
            try:
                found = decoded([broken], decoder)
            except S3Error:
                continue
            assert found == (WHOLE, {CRC: "sOO8/Q=="} if trailers else {})


def test_bytes_of_a_signed_chunk_are_passed_on_only_when_it_is_verified():
    sent = signed([b"a" * 9000])
    decoder = Decoder(chain())
    header = sent.index(b"\n") + 1
    assert decoder.feed(sent[: header + 8999]) == []
    assert b"".join(decoder.feed(b"a")) == b"a" * 9000
    other = Decoder(chain())
    with pytest.raises(SignatureDoesNotMatch):
        other.feed(sent[: header + 8999] + b"b")


def test_chunks_cannot_change_places():
    sent = signed([b"a" * 9000, b"b" * 9000])
    size = sent.index(b"\r\n2328") + 2
    with pytest.raises(SignatureDoesNotMatch):
        decoded([sent[size : 2 * size] + sent[:size] + sent[2 * size :]], Decoder(chain()))


def test_signature_of_another_request_is_refused():
    with pytest.raises(SignatureDoesNotMatch):
        decoded([signed(PIECES)], Decoder(chain("0" * 64)))


def test_unsigned_bytes_are_passed_on_as_they_come():
    decoder = Decoder()
    assert decoder.feed(b"40000000000\r\nabc") == [b"abc"]
    assert decoder.feed(b"defg") == [b"defg"]


@pytest.mark.parametrize(
    "header",
    [b"", b"g", b"+1", b"0x10", b"1_0", b" 10", b"10 ", b"-1", b"1" * 17, b"10;chunk-signature=", b"10;x=y", b"10\r"],
)
def test_broken_chunk_header_is_refused(header):
    with pytest.raises(IncompleteBody):
        decoded([header + b"\r\n"], Decoder())


def test_unsigned_chunk_header_is_refused_where_chunks_are_signed():
    with pytest.raises(IncompleteBody):
        decoded([unsigned(PIECES)], Decoder(chain()))


def test_chunk_header_that_does_not_end_is_refused_before_it_grows():
    with pytest.raises(IncompleteBody):
        decoded([b"0"] * (chunked.LONGEST_HEADER + 3), Decoder())


def test_line_feed_alone_does_not_end_a_chunk_header():
    with pytest.raises(IncompleteBody):
        decoded([b"3\nabc\r\n0\r\n\r\n"], Decoder())


@pytest.mark.parametrize("gap", [b"", b"\n", b"x\r\n", b"\r\r\n", b"xx"])
def test_chunk_longer_or_shorter_than_it_says_is_refused(gap):
    with pytest.raises(IncompleteBody):
        decoded([b"3\r\nabc" + gap + b"0\r\n\r\n"], Decoder())


@pytest.mark.parametrize("make", [signed, unsigned])
def test_small_chunk_is_refused_unless_it_is_the_last(make):
    decoder = Decoder(chain() if make is signed else None)
    with pytest.raises(InvalidChunkSizeError) as caught:
        decoded([make([b"a" * 8192, b"b" * 8191, b"c"])], decoder)
    assert caught.value.fields == {"Chunk": "3", "BadChunkSize": "8191"}
    assert decoded([make([b"a" * 8192, b"b"])], Decoder(chain() if make is signed else None))[0] == b"a" * 8192 + b"b"


def test_signed_chunk_too_large_to_hold_is_refused_by_its_header():
    with pytest.raises(InvalidChunkSizeError):
        Decoder(chain()).feed(f"{chunked.LARGEST_SIGNED + 1:x};chunk-signature={'0' * 64}\r\n".encode())


@pytest.mark.parametrize(
    "lines",
    [
        b"",
        b"x-amz-checksum-crc32:AAAAAA==\r\n",
        b"x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-checksum-crc32:AAAAAA==\r\n",
        b"x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-checksum-crc32c:sOO8/Q==\r\n",
        b"x-amz-checksum-crc32c\r\n",
        b":sOO8/Q==\r\n",
        b"x-amz-checksum-crc32c:\xff\r\n",
        b"x-amz-checksum-crc32c:" + b"a" * 2000 + b"\r\n",
        b"x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:00\r\n",
        b"\r\n" * 5000,
        b"".join(b"a%d:1\r\n" % i for i in range(40)),
    ],
)
def test_trailers_other_than_announced_are_refused(lines):
    with pytest.raises(MalformedTrailerError):
        decoded([b"3\r\nabc\r\n0\r\n" + lines + b"\r\n"], Decoder(None, {CRC}))


def test_trailer_that_does_not_end_is_refused_before_it_grows():
    decoder = Decoder(None, {CRC})
    with pytest.raises(IncompleteBody):
        decoder.feed(b"0\r\n" + b"a" * 10_000)


def test_trailers_of_too_many_bytes_are_refused_even_if_blank():
    sent = b"0\r\nx-amz-checksum-crc32c:sOO8/Q==\r\n" + b"\r\n" * chunked.LONGEST_TRAILERS
    with pytest.raises(MalformedTrailerError):
        decoded([sent], Decoder(None, {CRC}))


def test_line_that_does_not_end_behind_the_last_chunk_is_refused():
    with pytest.raises(IncompleteBody):
        decoded([b"0\r\nabc"], Decoder())


def test_trailer_name_counts_in_any_case_and_blanks_around_the_value_do_not():
    sent = b"0\r\nX-Amz-Checksum-CRC32C: sOO8/Q== \r\n\r\n"
    assert decoded([sent], Decoder(None, {CRC})) == (b"", {CRC: "sOO8/Q=="})


def test_trailers_as_minio_clients_write_them_are_taken():
    """https://github.com/minio/minio-go/blob/master/pkg/signer/request-signature-streaming.go: a line feed, a blank."""
    assert decoded([b"0\r\nx-amz-checksum-crc32c:sOO8/Q==\n\r\n\r\n"], Decoder(None, {CRC})) == (b"", {CRC: "sOO8/Q=="})
    links = chain()
    end = f"0;chunk-signature={links.chunk(hashlib.sha256().hexdigest())}\r\n{CRC}:sOO8/Q==\n\r\n"
    end += f"x-amz-trailer-signature:{links.trailers(CRC + ':sOO8/Q==' + chr(10))}\r\n\r\n"
    assert decoded([end.encode()], Decoder(chain(), {CRC})) == (b"", {CRC: "sOO8/Q=="})


def test_trailer_with_a_wrong_signature_is_refused():
    sent = signed(PIECES, {CRC: "sOO8/Q=="}).replace(b"sOO8/Q==", b"sOO8/A==")
    with pytest.raises(SignatureDoesNotMatch):
        decoded([sent], Decoder(chain(), {CRC}))


def test_signed_trailer_without_its_signature_is_refused():
    sent = signed(PIECES, {CRC: "sOO8/Q=="})
    with pytest.raises(MalformedTrailerError):
        decoded([sent[: sent.index(b"x-amz-trailer-signature")] + b"\r\n"], Decoder(chain(), {CRC}))


async def test_trailers_are_known_before_the_body_ends():
    trailers: dict[str, str] = {}
    sent = chunks([unsigned([b"abc"], {CRC: "sOO8/Q=="})])
    found = [piece async for piece in chunked.decode(sent, Decoder(None, {CRC}), trailers)]
    assert (found, trailers) == ([b"abc"], {CRC: "sOO8/Q=="})


@settings(deadline=None)
@given(st.lists(st.binary(max_size=300)), st.booleans(), st.booleans())
def test_random_bytes_are_refused_or_decoded_and_nothing_else(pieces, is_signed, announced):
    decoder = Decoder(chain() if is_signed else None, {CRC} if announced else ())
    try:
        decoded(pieces, decoder)
    except S3Error:
        return


_FRAMING = st.one_of(
    st.sampled_from([b"\r\n", b"\n", b"0", b"3", b"abc", b";", b":", b"a:b", b"2000", CRC.encode() + b":AAAAAA=="]),
    st.binary(max_size=4),
)


@settings(deadline=None, max_examples=300)
@given(st.lists(_FRAMING, max_size=30))
def test_what_looks_like_framing_is_decoded_the_same_whole_or_byte_by_byte(parts):
    sent = b"".join(parts)

    def outcome(pieces):
        try:
            return decoded(pieces, Decoder(None, ()))
        except S3Error as error:
            return error.status

    assert outcome([sent]) == outcome([sent[i : i + 1] for i in range(len(sent))])


@pytest.mark.parametrize("is_signed", [True, False])
def test_framing_costs_little_beside_hashing(is_signed):
    """1 GiB in chunks of 64 KiB has to cost well under a second of CPU; a 16th of it is measured."""
    sent = (signed if is_signed else unsigned)([bytes(65536)] * 1024)
    pieces = [sent[i : i + 65536] for i in range(0, len(sent), 65536)]
    decoding = min(_seconds(Decoder(chain() if is_signed else None).feed, pieces) for _ in range(3))
    hashing = min(_seconds(lambda part: hashlib.sha256(part).hexdigest(), pieces) for _ in range(3))
    assert decoding - (hashing if is_signed else 0) < 1 / 16


def _seconds(work: Callable[[bytes], object], pieces: Iterable[bytes]) -> float:
    started = time.thread_time()
    for piece in pieces:
        work(piece)
    return time.thread_time() - started
