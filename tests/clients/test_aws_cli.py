"""Promises to both AWS CLIs: version 1, which is on PyPI, and version 2 as AWS ships it for Lambda."""

import json

import pytest

from tests.clients.files import hashes, sha256

pytestmark = pytest.mark.clients


@pytest.fixture(params=["aws-cli-1", "aws-cli-2"])
def aws(request, client, endpoint):
    return client(request.param, "aws", AWS_CA_BUNDLE=str(endpoint.authority))


def test_cp_of_a_large_file_goes_up_in_parts_and_comes_back(aws, endpoint, bucket, big, tmp_path):
    aws("s3", "cp", big, f"s3://{bucket}/big.bin")
    assert endpoint.sha256(bucket, "big.bin") == sha256(big)
    head = json.loads(aws("s3api", "head-object", "--bucket", bucket, "--key", "big.bin", "--output", "json"))
    assert head["ETag"].endswith('-4"')
    aws("s3", "cp", f"s3://{bucket}/big.bin", tmp_path / "back")
    assert sha256(tmp_path / "back") == sha256(big)


def test_a_second_sync_copies_nothing(aws, endpoint, bucket, tree, tmp_path):
    assert aws("s3", "sync", tree, f"s3://{bucket}/tree").count("upload:") == 5
    assert endpoint.stored(bucket, "tree/") == hashes(tree)
    assert aws("s3", "sync", tree, f"s3://{bucket}/tree") == ""
    assert aws("s3", "sync", f"s3://{bucket}/tree", tmp_path / "back").count("download:") == 5
    assert hashes(tmp_path / "back") == hashes(tree)
    assert aws("s3", "sync", f"s3://{bucket}/tree", tmp_path / "back") == ""


def test_sync_with_delete_removes_what_is_gone(aws, endpoint, bucket, tree):
    aws("s3", "sync", tree, f"s3://{bucket}")
    (tree / "empty").unlink()
    (tree / "a/b/c/deep.txt").write_bytes(b"changed")
    said = aws("s3", "sync", "--delete", tree, f"s3://{bucket}")
    assert (said.count("upload:"), said.count("delete:")) == (1, 1)
    assert endpoint.stored(bucket) == hashes(tree)


def test_mv_takes_the_object_from_its_old_place(aws, endpoint, bucket, big):
    expected = sha256(big)
    aws("s3", "mv", big, f"s3://{bucket}/one")
    assert not big.exists()
    aws("s3", "mv", f"s3://{bucket}/one", f"s3://{bucket}/two ü")
    assert endpoint.sha256(bucket, "two ü") == expected
    assert [line.split(maxsplit=3)[2:] for line in aws("s3", "ls", f"s3://{bucket}").splitlines()] == [
        ["30000000", "two ü"]
    ]


def test_rm_recursive_empties_a_folder_and_nothing_else(aws, bucket, tree):
    aws("s3", "sync", tree, f"s3://{bucket}")
    assert aws("s3", "rm", "--recursive", f"s3://{bucket}/a").count("delete:") == 2
    left = aws("s3", "ls", "--recursive", f"s3://{bucket}").splitlines()
    assert [line[31:] for line in left] == ["empty", "näme mit ümläut & + %41.bin", "日本/語.bin"]


def test_ls_shows_folders_files_and_a_summary(aws, bucket, tree):
    aws("s3", "sync", tree, f"s3://{bucket}")
    assert "PRE a/" in aws("s3", "ls", f"s3://{bucket}")
    summary = aws("s3", "ls", "--recursive", "--summarize", f"s3://{bucket}/")
    assert "Total Objects: 5" in summary
    assert f"Total Size: {1 + 4097 + 70_000 + (1 << 20)}" in summary
    assert bucket in aws("s3", "ls")


def test_a_presigned_url_opens_in_any_program(aws, endpoint, bucket, tree):
    aws("s3", "cp", tree / "日本/語.bin", f"s3://{bucket}/to share ü")
    url = aws("s3", "presign", f"s3://{bucket}/to share ü", "--expires-in", "60").strip()
    assert endpoint.sha256_at(url) == sha256(tree / "日本/語.bin")


def test_a_pipe_goes_in_and_comes_out(aws, endpoint, bucket, big, tmp_path):
    aws("s3", "cp", "-", f"s3://{bucket}/piped", stdin=big)
    aws("s3", "cp", f"s3://{bucket}/piped", "-", stdout=tmp_path / "back")
    assert endpoint.sha256(bucket, "piped") == sha256(big) == sha256(tmp_path / "back")


def test_a_bucket_is_made_and_removed_with_all_it_holds(aws, bucket, tree):
    name = f"s3://{bucket}-made"
    aws("s3", "mb", name)
    aws("s3", "sync", tree, name)
    assert "BucketNotEmpty" in aws.fails("s3", "rb", name)
    aws("s3", "rb", "--force", name)
    assert f"{bucket}-made" not in aws("s3", "ls")
