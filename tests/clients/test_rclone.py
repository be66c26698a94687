"""Promises to rclone, with a remote of the provider "Other"."""

import json
import re

import pytest

from tests.clients.files import hashes, sha256

pytestmark = pytest.mark.clients


@pytest.fixture
def rclone(client, endpoint):
    remote = {
        "RCLONE_CONFIG_GATE_TYPE": "s3",
        "RCLONE_CONFIG_GATE_PROVIDER": "Other",
        "RCLONE_CONFIG_GATE_ENV_AUTH": "true",
        "RCLONE_CONFIG_GATE_ENDPOINT": endpoint.url,
        "RCLONE_CA_CERT": str(endpoint.authority),
    }
    return client("rclone", "rclone", **remote)


def test_a_synced_tree_passes_a_check_of_every_byte(rclone, endpoint, bucket, tree):
    rclone("sync", tree, f"gate:{bucket}/tree")
    assert endpoint.stored(bucket, "tree/") == hashes(tree)
    rclone("check", "--download", tree, f"gate:{bucket}/tree")
    (tree / "a/one byte").write_bytes(b"!")
    assert "1 differences found" in rclone.fails("check", "--download", tree, f"gate:{bucket}/tree")


def test_a_second_sync_copies_nothing(rclone, bucket, tree):
    rclone("sync", tree, f"gate:{bucket}")
    (tree / "empty").unlink()
    (tree / "new").write_bytes(b"new")
    log = rclone.home / "log"
    rclone("sync", "-v", "--log-file", log, tree, f"gate:{bucket}")
    done = re.findall(r"INFO  : (\S+): (Copied|Deleted)", log.read_text())
    assert sorted(done) == [("empty", "Deleted"), ("new", "Copied")]
    log.unlink()
    rclone("sync", "-v", "--log-file", log, tree, f"gate:{bucket}")
    assert "There was nothing to transfer" in log.read_text()


def test_a_large_file_keeps_bytes_and_modification_time(rclone, endpoint, bucket, big, tmp_path):
    rclone("copy", "--s3-upload-cutoff", "10M", "--s3-chunk-size", "8M", big, f"gate:{bucket}/large")
    assert endpoint.sha256(bucket, "large/big.bin") == sha256(big)
    rclone("copy", f"gate:{bucket}/large", tmp_path / "back")
    assert sha256(tmp_path / "back/big.bin") == sha256(big)
    assert round((tmp_path / "back/big.bin").stat().st_mtime - big.stat().st_mtime, 3) == 0


def test_a_large_file_is_copied_and_moved_by_the_server(rclone, endpoint, bucket, big):
    rclone("copyto", big, f"gate:{bucket}/one")
    rclone("copyto", "--s3-copy-cutoff", "10M", f"gate:{bucket}/one", f"gate:{bucket}/two")
    rclone("moveto", f"gate:{bucket}/two", f"gate:{bucket}/three ü")
    assert endpoint.sha256(bucket, "three ü") == sha256(big)
    assert [entry["Path"] for entry in json.loads(rclone("lsjson", f"gate:{bucket}"))] == ["one", "three ü"]


def test_a_stream_of_unknown_length_arrives(rclone, endpoint, bucket, big):
    rclone("rcat", f"gate:{bucket}/streamed", stdin=big)
    assert endpoint.sha256(bucket, "streamed") == sha256(big)


def test_lsjson_tells_sizes_types_and_folders(rclone, bucket, tree):
    rclone("copy", tree, f"gate:{bucket}")
    entries = json.loads(rclone("lsjson", "--recursive", f"gate:{bucket}"))
    files = {entry["Path"]: entry["Size"] for entry in entries if not entry["IsDir"]}
    assert files == {str(file.relative_to(tree)): file.stat().st_size for file in tree.rglob("*") if file.is_file()}
    assert {entry["Path"] for entry in entries if entry["IsDir"]} == {"a", "a/b", "a/b/c", "日本"}


def test_delete_and_purge_leave_nothing(rclone, endpoint, bucket, tree):
    rclone("copy", tree, f"gate:{bucket}")
    rclone("delete", "--include", "*.bin", f"gate:{bucket}")
    assert set(endpoint.stored(bucket)) == {"empty", "a/one byte", "a/b/c/deep.txt"}
    rclone("purge", f"gate:{bucket}")
    assert bucket not in rclone("lsd", "gate:")


def test_a_part_of_a_file_is_read(rclone, bucket, big):
    rclone("copyto", big, f"gate:{bucket}/big")
    rclone("cat", "--offset", "20000000", "--count", "10", f"gate:{bucket}/big", stdout=rclone.home / "ten")
    assert (rclone.home / "ten").read_bytes() == big.read_bytes()[20_000_000:20_000_010]
