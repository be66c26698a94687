"""Promises to mc, MinIO's client."""

import json

import pytest

from tests.clients.files import hashes, sha256
from tests.clients.running import ACCESS_KEY, SECRET_KEY

pytestmark = pytest.mark.clients


@pytest.fixture
def mc(client, endpoint):
    client = client("mc", "mc", "--disable-pager", SSL_CERT_FILE=str(endpoint.authority))
    client("alias", "set", "gate", endpoint.url, ACCESS_KEY, SECRET_KEY)
    return client


def test_cp_of_a_large_file_comes_back(mc, endpoint, bucket, big, tmp_path):
    mc("cp", big, f"gate/{bucket}/big ü")
    assert endpoint.sha256(bucket, "big ü") == sha256(big)
    mc("cp", f"gate/{bucket}/big ü", tmp_path / "back")
    assert sha256(tmp_path / "back") == sha256(big)


def test_a_second_mirror_copies_nothing(mc, endpoint, bucket, tree):
    mc("mirror", tree, f"gate/{bucket}")
    assert endpoint.stored(bucket) == hashes(tree)
    assert "->" not in mc("mirror", tree, f"gate/{bucket}")
    (tree / "empty").unlink()
    mc("mirror", "--remove", tree, f"gate/{bucket}")
    assert endpoint.stored(bucket) == hashes(tree)
    assert mc("--json", "diff", tree, f"gate/{bucket}") == ""


def test_a_pipe_goes_in_and_comes_out(mc, endpoint, bucket, big):
    mc("pipe", f"gate/{bucket}/piped", stdin=big)
    assert endpoint.sha256(bucket, "piped") == sha256(big)
    mc("cat", f"gate/{bucket}/piped", stdout=mc.home / "back")
    assert sha256(mc.home / "back") == sha256(big)


def test_objects_are_found_told_moved_and_removed(mc, endpoint, bucket, tree):
    mc("cp", "--recursive", f"{tree}/", f"gate/{bucket}/")
    found = [json.loads(line)["key"] for line in mc("--json", "ls", "--recursive", f"gate/{bucket}").splitlines()]
    assert sorted(found) == sorted(hashes(tree))
    told = json.loads(mc("--json", "stat", f"gate/{bucket}/日本/語.bin"))
    assert told["size"] == 1 << 20
    mc("mv", f"gate/{bucket}/empty", f"gate/{bucket}/moved")
    mc("rm", "--recursive", "--force", f"gate/{bucket}/a")
    assert set(endpoint.stored(bucket)) == {"moved", "näme mit ümläut & + %41.bin", "日本/語.bin"}


def test_a_shared_link_opens_in_any_program(mc, endpoint, bucket, tree):
    mc("cp", tree / "日本/語.bin", f"gate/{bucket}/shared ü")
    told = json.loads(mc("--json", "share", "download", f"gate/{bucket}/shared ü"))
    assert endpoint.sha256_at(told["share"]) == sha256(tree / "日本/語.bin")


def test_a_bucket_is_made_and_removed_with_all_it_holds(mc, bucket, tree):
    mc("mb", f"gate/{bucket}-made")
    mc("cp", tree / "empty", f"gate/{bucket}-made")
    mc("rb", "--force", f"gate/{bucket}-made")
    assert f"{bucket}-made" not in mc("ls", "gate")
