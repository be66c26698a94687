"""Promises to s3fs, which gives Python programs (pandas, dask …) a file system on S3."""

from pathlib import Path

import s3fs
from given import BUCKET, KEYS, MIB, data, same

fs = s3fs.S3FileSystem()
_PLAIN = [key for key in KEYS if not set("*?[]{}") & set(key)]  # s3fs reads these as patterns


def files_round_trip_under_any_name():
    for key in _PLAIN:
        fs.pipe_file(f"{BUCKET}/{key}", data(70_000))
        assert same(fs.cat_file(f"{BUCKET}/{key}"), data(70_000)), key
    assert sorted(fs.find(BUCKET)) == sorted(f"{BUCKET}/{key}" for key in _PLAIN)


def a_file_written_in_pieces_arrives_whole():
    sent = data(12 * MIB + 5)
    with fs.open(f"{BUCKET}/written", "wb", block_size=5 * MIB) as file:
        for start in range(0, len(sent), 700_001):
            file.write(sent[start : start + 700_001])
    assert fs.size(f"{BUCKET}/written") == len(sent)
    with fs.open(f"{BUCKET}/written", "rb") as file:
        file.seek(-100, 2)
        assert file.read() == sent[-100:]
        file.seek(0)
        assert same(file.read(), sent)
    places = [f"{BUCKET}/written"] * 3
    assert fs.cat_ranges(places, [0, 5, MIB], [5, 5000, 2 * MIB]) == [sent[:5], sent[5:5000], sent[MIB : 2 * MIB]]


def folders_are_listed_walked_and_measured():
    tree = ("t/a.csv", "t/b.csv", "t/u/c.csv", "t/u/v/d.txt")
    for number, name in enumerate(tree):
        fs.pipe_file(f"{BUCKET}/{name}", data(number + 1))
    assert sorted(fs.ls(f"{BUCKET}/t")) == [f"{BUCKET}/t/a.csv", f"{BUCKET}/t/b.csv", f"{BUCKET}/t/u"]
    assert fs.glob(f"{BUCKET}/t/**/*.csv") == [f"{BUCKET}/{name}" for name in tree[:3]]
    assert fs.du(f"{BUCKET}/t") == 10
    assert [len(files) for _, _, files in fs.walk(f"{BUCKET}/t")] == [2, 1, 1]
    assert fs.isdir(f"{BUCKET}/t/u")
    assert not fs.exists(f"{BUCKET}/t/missing")


def files_are_copied_moved_and_removed():
    fs.pipe({f"{BUCKET}/m/{number}": data(number + 1) for number in range(12)})
    fs.copy(f"{BUCKET}/m/3", f"{BUCKET}/copied")
    fs.mv(f"{BUCKET}/m/4", f"{BUCKET}/moved")
    assert (fs.cat(f"{BUCKET}/copied"), fs.cat(f"{BUCKET}/moved")) == (data(4), data(5))
    fs.rm(f"{BUCKET}/m", recursive=True)
    assert sorted(fs.find(BUCKET)) == [f"{BUCKET}/copied", f"{BUCKET}/moved"]


def a_folder_goes_up_and_comes_down_the_same():
    for number in range(5):
        file = Path("up", "deep", f"{number}.bin")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data(number * 10_000))
    fs.put("up", f"{BUCKET}/up", recursive=True)
    fs.get(f"{BUCKET}/up", "down", recursive=True)
    for number in range(5):
        assert same(Path("down", "deep", f"{number}.bin").read_bytes(), data(number * 10_000))


def a_bucket_is_made_and_removed():
    fs.mkdir(f"{BUCKET}-made")
    assert f"{BUCKET}-made" in fs.ls("")
    fs.rmdir(f"{BUCKET}-made")
    fs.invalidate_cache()
    assert f"{BUCKET}-made" not in fs.ls("")


def metadata_is_set_and_read():
    fs.pipe_file(f"{BUCKET}/object", b"x")
    fs.setxattr(f"{BUCKET}/object", colour="blue")
    assert fs.getxattr(f"{BUCKET}/object", "colour") == "blue"


def a_file_opened_to_be_created_never_replaces_one():
    fs.pipe_file(f"{BUCKET}/lock", b"first", mode="create")
    try:
        fs.pipe_file(f"{BUCKET}/lock", b"second", mode="create")
    except FileExistsError:
        assert fs.cat(f"{BUCKET}/lock") == b"first"
    else:
        raise AssertionError("it was replaced")
