"""A manifest says what was written into it, and nothing else."""

import gzip
import io
import json
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.checksums import Checksum
from gateway.snapshots.manifest import MOST_HEAD, Draft, Entry, Head, Manifest, Subject, head_of, packed
from gateway.snapshots.signing import Signer, Untrusted
from gateway.storage import ObjectInfo, Part

SIGNER = Signer([b"k" * 32])
NOW = datetime(2026, 1, 2, 3, 4, 5, 678900, tzinfo=UTC)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NAMES = st.dictionaries(TEXT, TEXT, max_size=3)
SUMS = st.none() | st.builds(Checksum, st.sampled_from(["CRC32C", "SHA256"]), TEXT, st.booleans())
SIZES = st.integers(0, 5 * 1024**4)
PARTS = st.lists(st.builds(Part, st.integers(1, 10_000), TEXT, SIZES, st.none(), SUMS), max_size=3)
TIMES = st.integers(0, 7 * 10**14).map(
    lambda microseconds: datetime.fromtimestamp(0, UTC) + timedelta(0, 0, microseconds)
)
INFOS = st.builds(
    ObjectInfo, TEXT, SIZES, TEXT, TIMES, NAMES, NAMES, NAMES, SUMS, part_count=st.integers(0, 10_000), parts=PARTS
)
ENTRIES = st.builds(Entry, INFOS, gen=st.integers(0, 2**62), held=TEXT)
SUBJECT = Subject("media", "media", "disk")
SUBJECTS = st.builds(Subject, TEXT, TEXT, TEXT, TEXT, NAMES)


def written(entries, subject=SUBJECT):
    draft = Draft(io.BytesIO())
    draft.add(entries)
    return draft, draft.end("id", subject, NOW - timedelta(seconds=3), NOW)


def entry(key="a", size=1):
    return Entry(ObjectInfo(key, size, "etag", NOW))


@given(entries=st.lists(ENTRIES, max_size=5), subject=SUBJECTS)
def test_what_is_written_is_read(entries, subject):
    draft, head = written(entries, subject)
    beginning = packed(head, SIGNER)
    assert head_of(beginning, SIGNER) == (head, len(beginning))
    read = list(Manifest(head, draft.file).entries())
    assert [replace(each, info=plain(each.info)) for each in read] == [
        replace(each, info=plain(each.info)) for each in entries
    ]
    assert (head.objects, head.bytes) == (len(entries), sum(each.info.size for each in entries))


def plain(info):
    return replace(info, parts=tuple(info.parts))


def test_it_is_two_lines_and_one_for_each_object():
    draft, head = written([entry("a"), entry("b")])
    lines = gzip.decompress(packed(head, SIGNER) + draft.file.getvalue()).splitlines()
    told = json.loads(lines[0])
    assert (told["format"], told["consistency"], told["objects"]) == ("s3-gateway-snapshot/1", "fuzzy", 2)
    assert told["window"] == ["2026-01-02T03:04:02.678900+00:00", "2026-01-02T03:04:05.678900+00:00"]
    assert [json.loads(line)["key"] for line in lines[2:]] == ["a", "b"]


def test_entries_are_given_by_their_prefix_and_more_than_once():
    draft, head = written([entry("a/1"), entry("b/1"), entry("b/2")])
    manifest = Manifest(head, draft.file)
    assert [each.key for each in manifest.entries("b/")] == ["b/1", "b/2"]
    assert [[each.key for each in batch] for batch in manifest.batches(2)] == [["a/1", "b/1"], ["b/2"]]


@given(place=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_no_bit_of_it_can_be_another(place, bit):
    """Those of gzip's own header that say nothing, as its time, are another only in the head's member."""
    draft, head = written([entry(f"key {number}") for number in range(20)])
    data = bytearray(draft.file.getvalue())
    data[place % len(data)] ^= 1 << bit
    with pytest.raises(Untrusted):
        Manifest(head, io.BytesIO(data))


@given(place=st.integers(10, 10_000), bit=st.integers(0, 7))
def test_no_bit_of_its_head_can_be_another(place, bit):
    _, head = written([entry()])
    data = bytearray(packed(head, SIGNER))
    data[10 + place % (len(data) - 10)] ^= 1 << bit
    with suppress(Untrusted):
        assert head_of(bytes(data), SIGNER)[0] == head


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"\x1f\x8b", gzip.compress(b"", mtime=0), gzip.compress(b"{}\n{}\n", mtime=0)]
)
def test_what_is_no_manifest_is_not_believed(data):
    with pytest.raises(Untrusted):
        head_of(data, SIGNER)


def test_what_is_signed_but_no_manifest_is_not_taken_for_one():
    with pytest.raises(Untrusted):
        head_of(gzip.compress(SIGNER.sign({"format": "s3-gateway-drill/1"})), SIGNER)


def test_a_head_that_grows_without_end_is_not_read():
    with pytest.raises(Untrusted):
        head_of(gzip.compress(b"0" * 100 * MOST_HEAD)[:MOST_HEAD], SIGNER)


@pytest.mark.parametrize("cut", [1, 10, 100])
def test_a_head_that_is_cut_off_is_not_believed(cut):
    _, head = written([entry()])
    with pytest.raises(Untrusted):
        head_of(packed(head, SIGNER)[:-cut], SIGNER)


def test_a_line_dropped_or_lines_swapped_are_not_believed():
    first, head = written([entry("a"), entry("b"), entry("c")])
    for entries in ([entry("a"), entry("c")], [entry("b"), entry("a"), entry("c")]):
        other, _ = written(entries)
        with pytest.raises(Untrusted):
            Manifest(head, other.file)
    assert Manifest(head, first.file)


def test_a_head_says_what_it_was_told():
    _, head = written([])
    assert Head.of(json.loads(json.dumps(head.document()))) == head
