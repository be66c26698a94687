from bisect import bisect_left
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.backends.assembly import (
    SMALLEST_PART,
    assemble,
    behind,
    fold,
    fold_uploads,
    new_upload_id,
    page_of_parts,
    span,
)
from gateway.checksums import Checksum, Digest
from gateway.errors import BadDigest, EntityTooSmall, InvalidPart, InvalidRequest, MalformedXML
from gateway.storage import (
    Address,
    Completion,
    ListQuery,
    Part,
    ReadOptions,
    Upload,
    UploadInfo,
    UploadQuery,
    WriteOptions,
)
from tests.backends.given import folded

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
CHARACTERS = st.sampled_from("ab/-\0\x7f\ud7ff\ue000\uffff\U00010000\U0010ffff")
TEXT = st.text(CHARACTERS, max_size=4)
KEYS = st.sets(st.text(CHARACTERS, min_size=1, max_size=6), max_size=20).map(sorted)


def checksum(algorithm, data):
    digest = Digest()
    digest.want(algorithm)
    digest.update(data)
    return digest.checksum(algorithm)


def part(number, size=SMALLEST_PART, algorithm="CRC32"):
    return Part(number, f"{number:032x}", size, NOW, checksum(algorithm, bytes(size)))


def info(key="key", upload_id="id", **options):
    return UploadInfo(Upload(Address("bucket", key), upload_id), NOW, WriteOptions(**options))


def stored(*parts):
    return {part.number: part for part in parts}


def test_parts_of_an_object_are_counted_from_one_without_gaps():
    parts = [part(3), part(70), part(10000, 5)]
    made = assemble(stored(*parts), info(), parts, Completion())
    assert [p.number for p in made.parts] == [1, 2, 3]
    assert [p.etag for p in made.parts] == [p.etag for p in parts]
    assert made.size == 2 * SMALLEST_PART + 5


def test_a_whole_is_known_from_its_parts():
    parts = [part(1), part(2, 5)]
    made = assemble(stored(*parts), info(), parts, Completion())
    assert made.checksum == checksum("CRC32", bytes(SMALLEST_PART + 5))


def test_without_the_checksum_of_a_part_the_whole_has_none():
    parts = [part(1), replace(part(2), checksum=None)]
    assert assemble(stored(*parts), info(), parts, Completion()).checksum is None
    with pytest.raises(InvalidRequest):
        assemble(stored(*parts), info(), parts, Completion(checksum=Checksum("CRC32", "AAAAAA==")))


def test_no_parts_make_no_object():
    with pytest.raises(MalformedXML):
        assemble(stored(part(1)), info(), [], Completion())


def test_only_the_last_part_may_be_small():
    small = part(1, SMALLEST_PART - 1)
    assert assemble(stored(small), info(), [small], Completion()).size == SMALLEST_PART - 1
    with pytest.raises(EntityTooSmall) as caught:
        assemble(stored(small, part(2)), info(), [small, part(2)], Completion())
    assert caught.value.fields == {
        "ProposedSize": "5242879",
        "MinSizeAllowed": "5242880",
        "PartNumber": "1",
        "ETag": small.etag,
    }


def test_a_part_that_is_not_there_is_named():
    with pytest.raises(InvalidPart) as caught:
        assemble(stored(part(1)), info(), [part(1), part(2)], Completion())
    assert caught.value.fields == {"UploadId": "id", "PartNumber": "2", "ETag": f"{2:032x}"}


@pytest.mark.parametrize("algorithm", ["SHA256", "CRC32"])
def test_a_composite_may_be_declared_with_or_without_its_number_of_parts(algorithm):
    parts = [part(1, algorithm=algorithm), part(2, algorithm=algorithm)]
    upload = info(checksum=algorithm, composite=True)
    made = assemble(stored(*parts), upload, parts, Completion()).checksum
    bare = Checksum(algorithm, made.value.removesuffix("-2"))
    for declared in (made, bare, replace(bare, composite=True)):
        assert assemble(stored(*parts), upload, parts, Completion(checksum=declared)).checksum == made
    with pytest.raises(BadDigest, match=f"^The {algorithm} you specified did not match the calculated checksum.$"):
        assemble(stored(*parts), upload, parts, Completion(checksum=replace(made, value=f"{bare.value}-3")))


@pytest.mark.parametrize(
    ("completion", "message"),
    [
        (
            Completion(size=1),
            "The provided 'x-amz-mp-object-size' header value 1 does not match what was computed: 5242880",
        ),
        (
            Completion(checksum=Checksum("SHA1", "")),
            "Checksum Type mismatch occurred, expected checksum Type: crc32, actual checksum Type: sha1",
        ),
        (
            Completion(checksum=Checksum("CRC32", "", composite=True)),
            (
                "The upload was created using the FULL_OBJECT checksum mode. "
                "The complete request must use the same checksum mode."
            ),
        ),
    ],
)
def test_what_does_not_fit_is_said_in_the_words_of_s3(completion, message):
    with pytest.raises(InvalidRequest) as caught:
        assemble(stored(part(1)), info(), [part(1)], completion)
    assert str(caught.value) == message


def test_a_part_outweighs_a_range():
    parts = [part(1, 10), part(2, 5)]
    assert span(15, parts, ReadOptions(range=slice(0, 1), part=2)) == (10, 15)


@given(keys=KEYS, prefix=TEXT, delimiter=TEXT, after=TEXT, limit=st.integers(0, 5))
def test_a_page_is_what_the_plainest_model_says(keys, prefix, delimiter, after, limit):
    query = ListQuery(prefix, delimiter, after, limit)
    page = fold(lambda start: keys[bisect_left(keys, start) :], query)
    expected = folded(keys, query)
    listed = sorted([*page.keys, *page.prefixes])
    assert listed == expected[:limit]
    assert page.last == (listed[-1] if 0 < limit < len(expected) else "")


def test_what_lies_inside_a_common_prefix_is_not_walked_through():
    keys = sorted([f"a/{number:06}" for number in range(10_000)] + [f"b/{number:06}" for number in range(10_000)])
    walked = 0

    def seek(start):
        nonlocal walked
        for key in keys[bisect_left(keys, start) :]:
            walked += 1
            yield key

    assert fold(seek, ListQuery(delimiter="/")).prefixes == ["a/", "b/"]
    assert fold(seek, ListQuery(delimiter="/", after="a/")).prefixes == ["b/"]
    assert fold(seek, ListQuery(prefix="b/0000", limit=2)).last == "b/000001"
    assert walked < 20


@given(prefix=st.text(CHARACTERS, min_size=1, max_size=4), rest=TEXT, other=TEXT)
def test_behind_a_prefix_begins_what_does_not_have_it(prefix, rest, other):
    following = behind(prefix)
    if following is None:
        assert set(prefix) == {"\U0010ffff"}
        return
    assert (prefix + rest).encode() < following.encode()
    if other.encode() >= prefix.encode() and not other.startswith(prefix):
        assert other.encode() >= following.encode()


def test_surrogates_are_stepped_over():
    assert behind("a\ud7ff") == "a\ue000"
    assert behind("a\U0010ffff") == "b"
    assert behind("\U0010ffff") is None


def test_the_ids_of_uploads_sort_by_age_and_do_not_repeat():
    ids = [new_upload_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert [i[:16] for i in ids] == sorted(i[:16] for i in ids)
    assert {len(i) for i in ids} == {48}


@given(
    places=st.sets(st.tuples(st.sampled_from(["a", "a/b", "a/c", "b", "c/d", "é"]), st.integers(10, 15)), max_size=12),
    prefix=st.sampled_from(["", "a", "a/", "x"]),
    delimiter=st.sampled_from(["", "/"]),
    limit=st.integers(1, 4),
)
def test_pages_of_uploads_put_together_are_all_uploads(places, prefix, delimiter, limit):
    begun = [info(key, str(number)) for key, number in places]
    whole = fold_uploads(begun, UploadQuery(prefix, delimiter, limit=1000))
    query, uploads, prefixes = UploadQuery(prefix, delimiter, limit=limit), [], []
    for _ in range(50):
        page = fold_uploads(reversed(begun), query)
        assert len(page.uploads) + len(page.prefixes) <= limit
        uploads += page.uploads
        prefixes += page.prefixes
        if not page.last:
            break
        query = query._replace(after=page.last, after_id=page.last_id)
    keys = [key for key, _ in places if key.startswith(prefix)]
    assert (uploads, prefixes) == (whole.uploads, whole.prefixes)
    assert set(folded(keys, ListQuery(prefix, delimiter))) == {i.upload.at.key for i in uploads} | set(prefixes)
    told = [(i.upload.at.key, i.upload.id) for i in uploads]
    assert told == sorted((key, str(n)) for key, n in places if key in {k for k, _ in told})


def test_an_id_without_its_key_says_nothing():
    begun = [info("a", "1"), info("b", "2")]
    assert fold_uploads(begun, UploadQuery(after_id="1")).uploads == begun


def test_parts_are_paged_by_number():
    parts = [part(number, 1) for number in (3, 1, 2)]
    assert page_of_parts(info(), parts, 0, 2) == (info(), [part(1, 1), part(2, 1)], 2)
    assert page_of_parts(info(), parts, 2, 2) == (info(), [part(3, 1)], 0)
    assert page_of_parts(info(), parts, 0, 0) == (info(), [], 0)
