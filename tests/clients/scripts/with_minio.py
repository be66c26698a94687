"""Promises to minio-py, MinIO's SDK for Python."""

import io
from pathlib import Path

from given import ACCESS_KEY, BUCKET, HOST, KEYS, MIB, SECRET_KEY, TLS, Stream, data, fetch, same
from minio import Minio, S3Error
from minio.commonconfig import REPLACE, ComposeSource, CopySource
from minio.deleteobjects import DeleteObject

s3 = Minio(HOST, ACCESS_KEY, SECRET_KEY, secure=TLS)


def objects_round_trip_under_any_key():
    for key in KEYS:
        s3.put_object(BUCKET, key, io.BytesIO(data(70_000)), 70_000, content_type="text/x-test")
        assert same(_content(key), data(70_000)), key
        assert s3.stat_object(BUCKET, key).content_type == "text/x-test"
    assert [entry.object_name for entry in s3.list_objects(BUCKET, recursive=True)] == sorted(KEYS, key=str.encode)
    assert "a/" in {entry.object_name for entry in s3.list_objects(BUCKET) if entry.is_dir}


def a_stream_of_unknown_length_arrives_in_parts():
    sent = data(12 * MIB + 1)
    s3.put_object(BUCKET, "stream", Stream(sent), length=-1, part_size=5 * MIB)
    assert s3.stat_object(BUCKET, "stream").etag.endswith("-3")
    assert same(_content("stream"), sent)


def files_go_up_and_come_down():
    Path("up").write_bytes(data(6 * MIB))
    s3.fput_object(BUCKET, "file", "up")
    s3.fget_object(BUCKET, "file", "down")
    assert same(Path("down").read_bytes(), data(6 * MIB))


def a_range_is_exact():
    s3.put_object(BUCKET, "object", io.BytesIO(data(100_000)), 100_000)
    assert same(_content("object", offset=70_000, length=1000), data(100_000)[70_000:71_000])


def metadata_comes_back():
    s3.put_object(BUCKET, "object", io.BytesIO(b"x"), 1, metadata={"colour": "blue"})
    metadata = s3.stat_object(BUCKET, "object").metadata
    assert metadata["x-amz-meta-colour"] == "blue"


def copies_and_compositions_hold_their_sources():
    for key, size in (("one", 5 * MIB), ("two", 6 * MIB)):
        s3.put_object(BUCKET, key, io.BytesIO(data(size)), size)
    s3.copy_object(BUCKET, "copied", CopySource(BUCKET, "one"))
    assert same(_content("copied"), data(5 * MIB))
    s3.copy_object(BUCKET, "told", CopySource(BUCKET, "one"), metadata={"n": "2"}, metadata_directive=REPLACE)
    assert s3.stat_object(BUCKET, "told").metadata["x-amz-meta-n"] == "2"
    s3.compose_object(BUCKET, "composed", [ComposeSource(BUCKET, "one"), ComposeSource(BUCKET, "two", length=MIB)])
    assert same(_content("composed"), data(5 * MIB) + data(6 * MIB)[:MIB])


def presigned_urls_work_for_plain_http():
    status, _ = fetch(s3.presigned_put_object(BUCKET, KEYS[4]), method="PUT", body=data(5000))
    assert status == 200
    status, got = fetch(s3.presigned_get_object(BUCKET, KEYS[4]))
    assert (status, same(got, data(5000))) == (200, True)


def all_named_objects_are_removed():
    for key in KEYS:
        s3.put_object(BUCKET, key, io.BytesIO(b"x"), 1)
    assert not list(s3.remove_objects(BUCKET, [DeleteObject(key) for key in KEYS]))
    assert not list(s3.list_objects(BUCKET, recursive=True))


def buckets_are_made_found_and_removed():
    name = f"{BUCKET}-made"
    s3.make_bucket(name)
    assert s3.bucket_exists(name)
    assert name in {bucket.name for bucket in s3.list_buckets()}
    s3.remove_bucket(name)
    assert not s3.bucket_exists(name)
    try:
        s3.get_object(BUCKET, "missing")
    except S3Error as error:
        if error.code == "NoSuchKey":
            return
        raise
    raise AssertionError("a missing object was read")


def _content(key: str, **span: int) -> bytes:
    answer = s3.get_object(BUCKET, key, **span)
    try:
        return answer.read()
    finally:
        answer.close()
        answer.release_conn()
