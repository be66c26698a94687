"""Promises to restic, whose users trust it with their last copy."""

import json
import shutil

import pytest

from tests.clients.files import hashes

pytestmark = pytest.mark.clients


@pytest.fixture
def restic(client, endpoint, bucket):
    settings = {"RESTIC_REPOSITORY": f"s3:{endpoint.url}/{bucket}/backup", "RESTIC_PASSWORD": "correct horse"}
    authority = ("--cacert", str(endpoint.authority)) if endpoint.tls else ()
    return client("restic", "restic", *authority, **settings)


def test_a_backup_is_restored_byte_for_byte_after_a_prune(restic, tree, big, tmp_path):
    shutil.move(big, tree / "big.bin")
    first = hashes(tree)
    restic("init")
    restic("backup", tree)
    (tree / "a/b/c/deep.txt").write_bytes(b"changed")
    (tree / "empty").unlink()
    second = hashes(tree)
    restic("backup", tree)
    restic("check", "--read-data")
    ids = [snapshot["id"] for snapshot in json.loads(restic("snapshots", "--json"))]
    for name, expected in zip(ids, (first, second), strict=True):
        restic("restore", name, "--target", tmp_path / name)
        assert hashes(tmp_path / name / tree.relative_to("/")) == expected
    restic("forget", "--keep-last", "1", "--prune")
    restic("check", "--read-data")
    restic("restore", "latest", "--target", tmp_path / "latest")
    assert hashes(tmp_path / "latest" / tree.relative_to("/")) == second


def test_a_repository_is_never_initialised_twice(restic):
    restic("init")
    assert "already" in restic.fails("init")
