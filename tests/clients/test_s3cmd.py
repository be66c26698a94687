"""Promises to s3cmd, with signatures of Version 4, its default, and of Version 2."""

import pytest

from tests.clients.files import hashes, sha256
from tests.clients.running import ACCESS_KEY, SECRET_KEY

pytestmark = pytest.mark.clients


@pytest.fixture(params=["False", "True"], ids=["v4", "v2"])
def s3cmd(request, client, endpoint):
    client = client("s3cmd", "s3cmd")
    (client.home / ".s3cfg").write_text(
        f"[default]\n"
        f"access_key = {ACCESS_KEY}\n"
        f"secret_key = {SECRET_KEY}\n"
        f"host_base = {endpoint.host}\n"
        f"host_bucket = {endpoint.host}\n"
        f"use_https = {endpoint.tls}\n"
        f"ca_certs_file = {endpoint.authority}\n"
        f"signature_v2 = {request.param}\n"
    )
    return client


def test_put_of_a_large_file_goes_up_in_parts_and_comes_back(s3cmd, endpoint, bucket, big, tmp_path):
    s3cmd("put", "--multipart-chunk-size-mb=8", big, f"s3://{bucket}/big ü")
    assert endpoint.sha256(bucket, "big ü") == sha256(big)
    s3cmd("get", f"s3://{bucket}/big ü", tmp_path / "back")
    assert sha256(tmp_path / "back") == sha256(big)


def test_a_second_sync_copies_nothing(s3cmd, endpoint, bucket, tree, tmp_path):
    s3cmd("sync", f"{tree}/", f"s3://{bucket}/tree/")
    assert endpoint.stored(bucket, "tree/") == hashes(tree)
    assert "upload:" not in s3cmd("sync", f"{tree}/", f"s3://{bucket}/tree/")
    (tmp_path / "back").mkdir()
    s3cmd("sync", f"s3://{bucket}/tree/", f"{tmp_path}/back/")
    assert hashes(tmp_path / "back") == hashes(tree)


def test_info_tells_size_type_and_metadata(s3cmd, bucket, tree):
    s3cmd("put", "--mime-type=text/x-test", "--add-header=x-amz-meta-colour:blue", tree / "empty", f"s3://{bucket}/one")
    said = s3cmd("info", f"s3://{bucket}/one")
    for line in ("File size: 0", "MIME type: text/x-test", "x-amz-meta-colour: blue"):
        assert line in said


def test_objects_are_copied_moved_and_deleted(s3cmd, endpoint, bucket, tree):
    s3cmd("sync", f"{tree}/", f"s3://{bucket}/")
    s3cmd("cp", f"s3://{bucket}/日本/語.bin", f"s3://{bucket}/copied ü")
    s3cmd("mv", f"s3://{bucket}/empty", f"s3://{bucket}/moved")
    assert endpoint.sha256(bucket, "copied ü") == sha256(tree / "日本/語.bin")
    s3cmd("del", "--recursive", f"s3://{bucket}/a/")
    s3cmd("del", f"s3://{bucket}/日本/語.bin")
    assert set(endpoint.stored(bucket)) == {"copied ü", "moved", "näme mit ümläut & + %41.bin"}


def test_a_bucket_is_made_listed_and_removed(s3cmd, bucket):
    s3cmd("mb", f"s3://{bucket}-made")
    assert f"s3://{bucket}-made" in s3cmd("ls")
    s3cmd("rb", f"s3://{bucket}-made")
    assert f"s3://{bucket}-made" not in s3cmd("ls")
