"""Promises to s5cmd."""

import json

import pytest

from tests.clients.files import hashes, sha256

pytestmark = pytest.mark.clients


@pytest.fixture
def s5cmd(client, endpoint):
    return client("s5cmd", "s5cmd", S3_ENDPOINT_URL=endpoint.url, AWS_CA_BUNDLE=str(endpoint.authority))


def test_cp_of_a_large_file_goes_up_in_parts_and_comes_back(s5cmd, endpoint, bucket, big, tmp_path):
    s5cmd("cp", "--part-size", "8", big, f"s3://{bucket}/big")
    assert endpoint.sha256(bucket, "big") == sha256(big)
    [listed] = s5cmd("--json", "ls", f"s3://{bucket}/big").splitlines()
    assert json.loads(listed)["etag"].endswith("-4")
    s5cmd("cp", "--part-size", "8", f"s3://{bucket}/big", tmp_path / "back")
    assert sha256(tmp_path / "back") == sha256(big)


def test_a_second_sync_copies_nothing(s5cmd, endpoint, bucket, tree, tmp_path):
    assert len(s5cmd("sync", f"{tree}/", f"s3://{bucket}/tree/").splitlines()) == 5
    assert endpoint.stored(bucket, "tree/") == hashes(tree)
    assert s5cmd("sync", f"{tree}/", f"s3://{bucket}/tree/") == ""
    s5cmd("cp", f"s3://{bucket}/tree/*", f"{tmp_path}/back/")
    assert hashes(tmp_path / "back") == hashes(tree)


def test_objects_are_moved_listed_measured_and_removed(s5cmd, endpoint, bucket, tree):
    s5cmd("cp", f"{tree}/", f"s3://{bucket}/")
    s5cmd("mv", f"s3://{bucket}/empty", f"s3://{bucket}/moved")
    assert s5cmd("ls", f"s3://{bucket}/").split()[:2] == ["DIR", "a/"]
    assert f"{1 + 4097 + 70_000 + (1 << 20)} bytes in 5 objects" in s5cmd("du", f"s3://{bucket}/*")
    s5cmd("rm", f"s3://{bucket}/a/*", f"s3://{bucket}/moved")
    assert set(endpoint.stored(bucket)) == {"näme mit ümläut & + %41.bin", "日本/語.bin"}


def test_a_batch_of_commands_runs_at_once(s5cmd, endpoint, bucket, tree, tmp_path):
    batch = tmp_path / "batch"
    source = tree / "a/b/c/deep.txt"
    batch.write_text("".join(f"cp {source} s3://{bucket}/many/{number}\n" for number in range(200)))
    s5cmd("run", batch)
    found = endpoint.stored(bucket, "many/")
    assert found == {str(number): sha256(source) for number in range(200)}
    s5cmd("rm", f"s3://{bucket}/*")
    assert "no object found" in s5cmd.fails("ls", f"s3://{bucket}/*")


def test_pipe_and_cat_carry_a_stream(s5cmd, endpoint, bucket, big):
    s5cmd("pipe", f"s3://{bucket}/piped", stdin=big)
    assert endpoint.sha256(bucket, "piped") == sha256(big)
    s5cmd("cat", f"s3://{bucket}/piped", stdout=s5cmd.home / "back")
    assert sha256(s5cmd.home / "back") == sha256(big)


def test_a_bucket_is_made_and_removed(s5cmd, bucket):
    s5cmd("mb", f"s3://{bucket}-made")
    assert f"s3://{bucket}-made" in s5cmd("ls")
    s5cmd("rb", f"s3://{bucket}-made")
    assert f"s3://{bucket}-made" not in s5cmd("ls")
