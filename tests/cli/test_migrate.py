"""`gateway migrate` as it is asked and answers, on disks."""

import pytest
import yaml
from click.testing import CliRunner

from gateway.cli import main


@pytest.fixture
def folder(tmp_path):
    """A disk "old" with two files, a disk "new", and a configuration of both."""
    backends = {name: {"type": "local", "path": str(tmp_path / name), "fsync": False} for name in ("old", "new")}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump({"backends": backends, "buckets": {"media": {"backend": "old"}}}))
    for key in ("a", "b"):
        (tmp_path / "old" / "media").mkdir(parents=True, exist_ok=True)
        (tmp_path / "old" / "media" / key).write_text(key)
    return tmp_path


@pytest.fixture
def run(folder):
    def run(command, *arguments, **said):
        return CliRunner().invoke(main, ["migrate", command, *arguments, "--config", str(folder / "c.yaml")], **said)

    return run


def keys(folder):
    return sorted(path.name for path in folder.iterdir() if path.is_file()) if folder.exists() else []


def test_a_bucket_goes_from_the_first_to_the_second_under_a_prefix(folder, run):
    done = run("copy", "old:media", "new:shared/media/")
    assert (done.exit_code, sorted(line[:3] for line in done.stdout.splitlines())) == (0, ["+ a", "+ b"])
    assert keys(folder / "new" / "shared" / "media") == ["a", "b"]
    done = run("copy", "old:media", "new:shared/media/", "--all")
    assert (done.exit_code, sorted(done.stdout.splitlines())) == (0, ["= a", "= b"])
    done = run("verify", "old:media", "new:shared/media/", "--level", "L2")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "2 keys, 2 the same\n")


def test_what_is_deleted_is_counted_and_asked_for_first(folder, run):
    run("copy", "old:media", "new:media")
    asked = ("delete-source", "old:media", "new:media", "--min-age", "0s", "--level", "L2")
    done = run(*asked, input="n\n")
    assert (done.exit_code, keys(folder / "old" / "media")) == (1, ["a", "b"])
    assert "Delete 2 objects, 2 B, from old:media? [y/N]" in done.stderr
    done = run(*asked, input="y\n")
    assert (done.exit_code, sorted(done.stdout.splitlines())) == (0, ["- a", "- b"])
    assert (keys(folder / "old" / "media"), keys(folder / "new" / "media")) == ([], ["a", "b"])


def test_where_there_is_nothing_to_be_deleted_nobody_is_asked(folder, run):
    run("copy", "old:media", "new:media")
    done = run("delete-source", "old:media", "new:media")
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", "2 keys, 2 kept, 0 B\n")


@pytest.mark.parametrize(
    ("ends", "told"),
    [
        (("old:media", "old:media"), "old:media and old:media are the same, or one is in the other"),
        (("old:media", "old:media/sub/"), "old:media and old:media/sub/ are the same, or one is in the other"),
        (("gone:media", "new:media"), 'gone:media: there is no backend "gone"'),
        (("old", "new:media"), "old: expected a backend and a bucket there, such as aws:media"),
        (("old:media", "new:"), "new:: "),
        (("old:nothing", "new:media"), "NoSuchBucket"),
    ],
)
@pytest.mark.parametrize("command", ["copy", "delete-source", "verify"])
def test_what_cannot_be_moved_is_said(folder, run, command, ends, told):
    done = run(command, *ends)
    assert done.exit_code == 2
    assert done.stderr.startswith(told)
    assert not (folder / "new" / "media").exists()
