import pytest

from gateway.images.sniff import MOST_SCANS, check_type, kind_of, scans_of, size_of
from gateway.images.spec import KINDS, Reason, Size, Unfit
from tests.images import makers


@pytest.mark.parametrize("kind", KINDS)
def test_kind_is_what_the_bytes_are(kind):
    assert kind_of(makers.SIMPLE[kind]()) == kind


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "svg"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- a drawing -->\n<svg>", "svg"),
        (b"  \n<SVG width='1'>", "svg"),
        (b"<!DOCTYPE svg PUBLIC '-//W3C//DTD SVG 1.1//EN'><svg >", "svg"),
        (b"<!-- only words -->", ""),
        (b"<html><body><svg></svg>", ""),
        (b"II*\0" + bytes(20), "tiff"),
        (b"MM\0*" + bytes(20), "tiff"),
        (b"BM" + bytes(20), "bmp"),
        (b"BM is how a letter may begin", ""),
        (b"8BPS\0\1", "psd"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "eps"),
        (b"%PDF-1.7", ""),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "heic"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", "avif"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0isommp42", ""),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "jxl"),
        (b"RIFF\x10\0\0\0WAVEfmt ", ""),
        (b"", ""),
        (b"\xff\xd8", ""),
    ],
)
def test_kinds_that_are_not_decoded_are_told_from_what_is_no_image(head, kind):
    assert kind_of(head) == kind


@pytest.mark.parametrize("kind", ["jpeg", "png", "gif", "webp"])
def test_size_is_read_of_the_header(kind):
    assert size_of(kind, makers.SIMPLE[kind](123, 45)) == Size(123, 45)


def test_size_of_each_kind_of_webp():
    assert size_of("webp", makers.webp(123, 45, lossless=True)) == Size(123, 45)
    assert size_of("webp", makers.webp(123, 45, exif=makers.camera_exif())) == Size(123, 45)  # with VP8X


@pytest.mark.parametrize("kind", ["jpeg", "png", "gif", "webp"])
def test_a_header_that_is_cut_off_is_broken_wherever_it_is_cut(kind):
    data = makers.SIMPLE[kind]()
    for stop in range(12, 60):
        assert size_or_reason(kind, data[:stop]) in {Size(120, 80), Reason.BROKEN}


def size_or_reason(kind, data):
    try:
        return size_of(kind, data)
    except Unfit as unfit:
        return unfit.reason


@pytest.mark.parametrize(
    "declared",
    ["", "image/jpeg", "IMAGE/JPEG; charset=binary", "image/jpg", "image/pjpeg", "binary/octet-stream", "image/*"],
)
def test_types_that_a_jpeg_may_come_with(declared):
    check_type("jpeg", declared)


@pytest.mark.parametrize("declared", ["image/png", "text/html", "image/svg+xml", "application/pdf", "jpeg"])
def test_types_that_say_something_else(declared):
    with pytest.raises(Unfit) as caught:
        check_type("jpeg", declared)
    assert caught.value.reason is Reason.WRONG_TYPE


def test_scans_are_counted_up_to_what_is_too_many():
    assert scans_of(makers.jpeg()) == 1
    assert 6 <= scans_of(makers.jpeg(progressive=True)) <= 12
    assert scans_of(makers.many_scans(400)) == MOST_SCANS + 1


def test_what_follows_a_picture_is_no_scan():
    film = b"\xff\xda\x00\x08" * 1000
    assert scans_of(makers.jpeg() + film) == 1


def test_what_is_written_beside_a_picture_is_no_scan():
    thumbnail = makers.with_segment(makers.jpeg(), 0xE1, b"\xff\xda\x00\x08" * 1000)
    assert scans_of(thumbnail) == 1


def test_restart_markers_are_no_end_of_a_scan():
    data = makers.noisy("jpeg", restart_marker_blocks=1)
    assert data.count(b"\xff\xd0") > 1
    assert scans_of(data) == 1
