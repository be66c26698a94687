"""Promises to boto3, the AWS SDK for Python, as it is configured by default."""

import hashlib
import io
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from given import ACCESS_KEY, AUTHORITY, BUCKET, KEYS, MIB, REGION, SECRET_KEY, TLS, URL, Stream, data, fetch, same

s3 = boto3.client("s3")


def bytes_of_every_size_turntrip():
    for size in (0, 1, 1023, 65_537, MIB, 3 * MIB + 1):
        sent = data(size)
        etag = s3.put_object(Bucket=BUCKET, Key="object", Body=sent)["ETag"]
        assert etag == f'"{hashlib.md5(sent).hexdigest()}"'
        got = s3.get_object(Bucket=BUCKET, Key="object")
        assert (got["ContentLength"], got["ETag"]) == (size, etag)
        assert same(got["Body"].read(), sent), size


def keys_of_any_script_turntrip():
    for key in KEYS:
        s3.put_object(Bucket=BUCKET, Key=key, Body=key.encode())
        assert s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() == key.encode()
    assert _listed() == sorted(KEYS, key=str.encode)


def upload_fileobj_sends_a_large_file_in_parts():
    sent = data(30 * MIB)
    s3.upload_fileobj(io.BytesIO(sent), BUCKET, "large")
    assert s3.head_object(Bucket=BUCKET, Key="large")["ETag"].endswith('-4"')
    got = io.BytesIO()
    s3.download_fileobj(BUCKET, "large", got)
    assert same(got.getvalue(), sent)
    part = s3.head_object(Bucket=BUCKET, Key="large", PartNumber=4)
    assert (part["PartsCount"], part["ContentLength"]) == (4, 6 * MIB)


def upload_fileobj_sends_a_stream_of_unknown_length():
    sent = data(9 * MIB + 7)
    s3.upload_fileobj(Stream(sent), BUCKET, "stream")
    assert same(s3.get_object(Bucket=BUCKET, Key="stream")["Body"].read(), sent)


def put_object_sends_a_file_that_can_only_be_read_once():
    trailers = TLS and "request_checksum_calculation" in Config.OPTION_DEFAULTS
    if not trailers:
        return  # the SDK has to read the body twice, for its hash, and refuses
    sent = data(MIB + 9)
    s3.put_object(Bucket=BUCKET, Key="pipe", Body=Stream(sent), ContentLength=len(sent))
    assert same(s3.get_object(Bucket=BUCKET, Key="pipe")["Body"].read(), sent)


def presigned_urls_of_both_signature_versions_work_for_plain_http():
    sent = data(70_000)
    for version in ("s3", "s3v4"):
        signer = boto3.client("s3", config=Config(signature_version=version))
        _exchange(signer, f"signed by {version}/ü&+.bin", sent)


def presigned_urls_of_the_default_work_for_plain_http():
    _exchange(s3, "signed by default", data(70_000))


def a_presigned_url_is_good_for_nothing_else():
    s3.put_object(Bucket=BUCKET, Key="mine", Body=b"mine")
    for version in ("s3", "s3v4"):
        signer = boto3.client("s3", config=Config(signature_version=version))
        url = signer.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "mine"})
        assert fetch(url) == (200, b"mine")
        for wrong in (url.replace("/mine?", "/other?"), url + "x"):
            assert fetch(wrong)[0] == 403, wrong
        assert fetch(url, method="PUT", body=b"theirs")[0] == 403
    assert s3.get_object(Bucket=BUCKET, Key="mine")["Body"].read() == b"mine"


def an_upload_that_is_answered_at_once_leaves_its_connection_in_order():
    hasty = boto3.client("s3", config=Config(max_pool_connections=1, read_timeout=5, retries={"total_max_attempts": 1}))
    for turn in range(3):
        hasty.put_object(Bucket=BUCKET, Key="empty", Body=io.BytesIO())
        hasty.put_object(Bucket=BUCKET, Key="full", Body=io.BytesIO(data(turn + 1)))
        assert hasty.get_object(Bucket=BUCKET, Key="full")["Body"].read() == data(turn + 1)
        with _refused("PreconditionFailed"):
            hasty.put_object(Bucket=BUCKET, Key="full", Body=io.BytesIO(data(MIB)), IfNoneMatch="*")


def ranges_are_exact():
    sent = data(200_000)
    s3.put_object(Bucket=BUCKET, Key="object", Body=sent)
    asked = {
        "bytes=0-0": sent[:1],
        "bytes=100-65635": sent[100:65_636],
        "bytes=199999-": sent[-1:],
        "bytes=-7": sent[-7:],
        "bytes=5-999999": sent[5:],
    }
    for byte_range, expected in asked.items():
        got = s3.get_object(Bucket=BUCKET, Key="object", Range=byte_range)
        assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
        assert same(got["Body"].read(), expected), byte_range
    with _refused("InvalidRange"):
        s3.get_object(Bucket=BUCKET, Key="object", Range="bytes=200000-")


def metadata_and_headers_come_back_as_they_were_sent():
    headers = {
        "CacheControl": "max-age=60",
        "ContentDisposition": "attachment; filename=\"f.txt\"; filename*=UTF-8''f%C3%BC.txt",
        "ContentEncoding": "identity",
        "ContentLanguage": "de-AT",
        "ContentType": "text/plain; charset=utf-8",
    }
    metadata = {"colour": "deep blue", "with-dash": "a=b;c", "encoded": "=?UTF-8?B?w7xtbA==?="}
    s3.put_object(Bucket=BUCKET, Key="object", Body=b"x", Metadata=metadata, **headers)
    head = s3.head_object(Bucket=BUCKET, Key="object")
    assert head["Metadata"] == metadata
    assert {name: head[name] for name in headers} == headers
    got = s3.get_object(Bucket=BUCKET, Key="object", ResponseContentType="image/png")
    assert (got["ContentType"], got["Metadata"]) == ("image/png", metadata)


def delete_objects_deletes_all_it_names_and_only_those():
    keys = [*KEYS, *(f"many/{number:03}" for number in range(40))]
    for key in (*keys, "kept"):
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"x")
    named = [{"Key": key} for key in (*keys, "never there")]
    answer = s3.delete_objects(Bucket=BUCKET, Delete={"Objects": named})
    assert {entry["Key"] for entry in answer["Deleted"]} == {entry["Key"] for entry in named}
    assert "Errors" not in answer
    assert _listed() == ["kept"]
    quiet = s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": "kept"}], "Quiet": True})
    assert "Deleted" not in quiet
    assert _listed() == []


def conditional_writes_never_replace_what_the_writer_has_not_seen():
    first = s3.put_object(Bucket=BUCKET, Key="lock", Body=b"first", IfNoneMatch="*")
    with _refused("PreconditionFailed"):
        s3.put_object(Bucket=BUCKET, Key="lock", Body=b"second", IfNoneMatch="*")
    second = s3.put_object(Bucket=BUCKET, Key="lock", Body=b"third", IfMatch=first["ETag"])
    with _refused("PreconditionFailed"):
        s3.put_object(Bucket=BUCKET, Key="lock", Body=b"fourth", IfMatch=first["ETag"])
    with _refused("NoSuchKey"):
        s3.put_object(Bucket=BUCKET, Key="missing", Body=b"x", IfMatch=second["ETag"])
    assert s3.get_object(Bucket=BUCKET, Key="lock")["Body"].read() == b"third"


def of_twenty_that_create_at_once_one_succeeds():
    def create(writer: int) -> str:
        try:
            s3.put_object(Bucket=BUCKET, Key="lock", Body=b"%d" % writer, IfNoneMatch="*")
        except ClientError as error:
            return error.response["Error"]["Code"]
        return "created"

    with ThreadPoolExecutor(20) as pool:
        outcomes = list(pool.map(create, range(20)))
    assert set(outcomes) <= {"created", "PreconditionFailed", "ConditionalRequestConflict"}, outcomes
    assert outcomes.count("created") == 1, outcomes
    winner = outcomes.index("created")
    assert s3.get_object(Bucket=BUCKET, Key="lock")["Body"].read() == b"%d" % winner


def conditional_reads_answer_from_the_etag_and_the_date():
    etag = s3.put_object(Bucket=BUCKET, Key="object", Body=b"x")["ETag"]
    later = datetime.now(UTC) + timedelta(hours=1)
    s3.get_object(Bucket=BUCKET, Key="object", IfMatch=etag, IfUnmodifiedSince=later)
    with _refused("304"):
        s3.get_object(Bucket=BUCKET, Key="object", IfNoneMatch=etag)
    with _refused("304"):
        s3.head_object(Bucket=BUCKET, Key="object", IfNoneMatch=etag)
    with _refused("PreconditionFailed"):
        s3.get_object(Bucket=BUCKET, Key="object", IfMatch='"other"')
    with _refused("PreconditionFailed"):
        s3.get_object(Bucket=BUCKET, Key="object", IfUnmodifiedSince=later - timedelta(days=1))


def paginators_pass_every_key_once_and_in_order():
    keys = sorted([*KEYS, *(f"p/{number:02}/{leaf}" for number in range(9) for leaf in "ab")], key=str.encode)
    for key in keys:
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"x")
    for operation, found in (
        ("list_objects", "Contents"),
        ("list_objects_v2", "Contents"),
        ("list_object_versions", "Versions"),
    ):
        pages = s3.get_paginator(operation).paginate(Bucket=BUCKET, PaginationConfig={"PageSize": 4})
        assert [entry["Key"] for page in pages for entry in page.get(found, [])] == keys, operation
    for operation in ("list_objects", "list_objects_v2"):
        pages = s3.get_paginator(operation).paginate(
            Bucket=BUCKET, Prefix="p/", Delimiter="/", PaginationConfig={"PageSize": 4}
        )
        folders = [entry["Prefix"] for page in pages for entry in page.get("CommonPrefixes", [])]
        assert folders == [f"p/{number:02}/" for number in range(9)], operation


def uploads_and_their_parts_are_listed_in_pages_until_they_are_aborted():
    uploads = [s3.create_multipart_upload(Bucket=BUCKET, Key=f"upload/{n}")["UploadId"] for n in range(5)]
    sizes = [5, 5, 5, 5, 3]  # R2 takes no others
    for number, size in enumerate(sizes, 1):
        s3.upload_part(Bucket=BUCKET, Key="upload/0", UploadId=uploads[0], PartNumber=number, Body=data(size))
    pages = s3.get_paginator("list_multipart_uploads").paginate(Bucket=BUCKET, PaginationConfig={"PageSize": 2})
    assert [upload["UploadId"] for page in pages for upload in page.get("Uploads", [])] == uploads
    pages = s3.get_paginator("list_parts").paginate(
        Bucket=BUCKET, Key="upload/0", UploadId=uploads[0], PaginationConfig={"PageSize": 2}
    )
    assert [part["Size"] for page in pages for part in page["Parts"]] == sizes
    for number, upload in enumerate(uploads):
        s3.abort_multipart_upload(Bucket=BUCKET, Key=f"upload/{number}", UploadId=upload)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=BUCKET)
    with _refused("NoSuchUpload"):
        s3.list_parts(Bucket=BUCKET, Key="upload/0", UploadId=uploads[0])


def parts_may_come_in_any_order_and_twice():
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="object", Metadata={"made": "in parts"})["UploadId"]
    place = {"Bucket": BUCKET, "Key": "object", "UploadId": upload}
    sent = {1: data(5 * MIB), 2: data(6 * MIB), 7: data(17)}
    etags = {}
    for number, body in ((7, sent[7]), (2, data(99)), (1, sent[1]), (2, sent[2])):
        etags[number] = s3.upload_part(**place, PartNumber=number, Body=body)
    parts = [_part(number, etags[number]) for number in sorted(etags)]
    s3.complete_multipart_upload(**place, MultipartUpload={"Parts": parts})
    got = s3.get_object(Bucket=BUCKET, Key="object")
    assert got["Metadata"] == {"made": "in parts"}
    assert same(got["Body"].read(), b"".join(sent.values()))


def a_copy_is_the_object_with_the_metadata_asked_for():
    sent = data(100_000)
    s3.put_object(Bucket=BUCKET, Key=KEYS[2], Body=sent, Metadata={"n": "1"}, ContentType="text/x-one")
    source = {"Bucket": BUCKET, "Key": KEYS[2]}
    s3.copy_object(Bucket=BUCKET, Key="kept", CopySource=source)
    s3.copy_object(Bucket=BUCKET, Key="new", CopySource=source, MetadataDirective="REPLACE", Metadata={"n": "2"})
    for key, metadata in (("kept", "1"), ("new", "2")):
        got = s3.get_object(Bucket=BUCKET, Key=key)
        assert got["Metadata"] == {"n": metadata}
        assert same(got["Body"].read(), sent)
    with _refused("InvalidRequest"):
        s3.copy_object(Bucket=BUCKET, Key=KEYS[2], CopySource=source)


def a_large_copy_is_made_of_copied_parts():
    sent = data(20 * MIB + 3)
    s3.upload_fileobj(io.BytesIO(sent), BUCKET, "source")
    s3.copy({"Bucket": BUCKET, "Key": "source"}, BUCKET, "copied", Config=_in_parts_of(8 * MIB))
    got = s3.get_object(Bucket=BUCKET, Key="copied")
    assert got["ETag"].endswith('-3"')
    assert same(got["Body"].read(), sent)


def checksums_are_kept_and_wrong_ones_refused():
    known = s3.meta.service_model.shape_for("ChecksumAlgorithm").enum  # older ones do not have all
    for algorithm in {"CRC32", "SHA1", "SHA256", "SHA512"}.intersection(known):
        field = f"Checksum{algorithm}"
        put = s3.put_object(Bucket=BUCKET, Key="object", Body=data(5000), ChecksumAlgorithm=algorithm)
        got = s3.get_object(Bucket=BUCKET, Key="object", ChecksumMode="ENABLED")
        assert got[field] == put[field]
        got["Body"].read()
        told = s3.get_object_attributes(Bucket=BUCKET, Key="object", ObjectAttributes=["Checksum", "ObjectSize"])
        assert (told["ObjectSize"], told["Checksum"][field]) == (5000, put[field])
    with _refused("BadDigest"):
        s3.put_object(Bucket=BUCKET, Key="object", Body=b"other", ChecksumCRC32="AAAAAA==")
    assert same(s3.get_object(Bucket=BUCKET, Key="object")["Body"].read(), data(5000))


def errors_have_the_names_that_programs_wait_for():
    with _refused("NoSuchKey"):
        s3.get_object(Bucket=BUCKET, Key="missing")
    with _refused("404"):
        s3.head_object(Bucket=BUCKET, Key="missing")
    with _refused("NoSuchBucket"):
        s3.list_objects_v2(Bucket=BUCKET + "-missing")
    with _refused("404"):
        s3.head_bucket(Bucket=BUCKET + "-missing")
    s3.put_object(Bucket=BUCKET, Key="object", Body=b"x")
    with _refused("BucketNotEmpty"):
        s3.delete_bucket(Bucket=BUCKET)
    with _refused("SignatureDoesNotMatch"):
        boto3.client("s3", aws_secret_access_key="wrong", aws_access_key_id=ACCESS_KEY).list_buckets()
    with _refused("InvalidAccessKeyId"):
        boto3.client("s3", aws_secret_access_key=SECRET_KEY, aws_access_key_id="UNKNOWN").list_buckets()


def a_bucket_is_made_found_emptied_and_deleted():
    name = BUCKET + "-resource"
    bucket = boto3.resource("s3").create_bucket(Bucket=name)
    bucket.wait_until_exists()
    assert name in {entry["Name"] for entry in s3.list_buckets()["Buckets"]}
    assert s3.get_bucket_location(Bucket=name)["LocationConstraint"] is None
    for key in KEYS:
        bucket.put_object(Key=key, Body=b"x")
    bucket.objects.filter(Prefix="a/").delete()
    bucket.object_versions.delete()
    assert not list(bucket.objects.all())
    bucket.delete()
    bucket.wait_until_not_exists()


def buckets_are_reached_by_name_of_host():
    resolve = socket.getaddrinfo
    socket.getaddrinfo = lambda host, *others, **named: resolve("127.0.0.1", *others, **named)
    port = URL.rpartition(":")[2]
    named = boto3.client(
        "s3",
        endpoint_url=f"{'https' if TLS else 'http'}://s3.test:{port}",
        region_name=REGION,
        verify=AUTHORITY,
        config=Config(s3={"addressing_style": "virtual"}),
    )
    for key in KEYS:
        named.put_object(Bucket=BUCKET, Key=key, Body=key.encode())
        assert s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() == key.encode()
        assert named.get_object(Bucket=BUCKET, Key=key)["Body"].read() == key.encode()
    assert [entry["Key"] for entry in named.list_objects_v2(Bucket=BUCKET)["Contents"]] == _listed()
    presigned = named.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": KEYS[4]})
    assert f"//{BUCKET}.s3.test:{port}/" in presigned
    assert fetch(presigned) == (200, KEYS[4].encode())


@contextmanager
def _refused(code: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] == code:
            return
        raise
    raise AssertionError(f"expected {code}, but it succeeded")


def _exchange(signer, key: str, sent: bytes) -> None:
    place = {"Bucket": BUCKET, "Key": key}
    put = signer.generate_presigned_url("put_object", Params={**place, "ContentType": "text/x-signed"})
    assert fetch(put, method="PUT", body=sent, Content_Type="text/x-signed")[0] == 200
    assert s3.head_object(**place)["ContentType"] == "text/x-signed"
    get = {**place, "ResponseContentDisposition": 'attachment; filename="ü.bin"'}
    status, got = fetch(signer.generate_presigned_url("get_object", Params=get))
    assert (status, same(got, sent)) == (200, True)
    assert fetch(signer.generate_presigned_url("delete_object", Params=place), method="DELETE")[0] == 204
    with _refused("404"):
        s3.head_object(**place)


def _listed() -> list[str]:
    return [entry["Key"] for entry in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]


def _part(number: int, answer: dict) -> dict:
    checksums = {name: value for name, value in answer.items() if name == "ChecksumCRC32"}
    return {"PartNumber": number, "ETag": answer["ETag"], **checksums}


def _in_parts_of(size: int):
    return boto3.s3.transfer.TransferConfig(multipart_threshold=size, multipart_chunksize=size)
