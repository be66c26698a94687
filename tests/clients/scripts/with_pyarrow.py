"""Promises to pyarrow's file system, which carries Parquet and other tables of Arrow."""

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet
from given import ACCESS_KEY, AUTHORITY, BUCKET, KEYS, MIB, REGION, SECRET_KEY, URL, data, same
from pyarrow.fs import FileSelector, FileType, S3FileSystem

fs = S3FileSystem(
    access_key=ACCESS_KEY,
    secret_key=SECRET_KEY,
    endpoint_override=URL,
    region=REGION,
    tls_ca_file_path=AUTHORITY,
    allow_bucket_creation=True,
    allow_bucket_deletion=True,
)


def a_stream_arrives_whole_and_is_read_at_any_place():
    for key in KEYS:
        sent = data(12 * MIB + 3 if key == KEYS[0] else 1000)
        with fs.open_output_stream(f"{BUCKET}/{key}", metadata={"Content-Type": "text/x-test"}) as out:
            for start in range(0, len(sent), 3_000_001):
                out.write(sent[start : start + 3_000_001])
        with fs.open_input_file(f"{BUCKET}/{key}") as file:
            assert file.size() == len(sent)
            assert same(file.read(), sent), key
            file.seek(500)
            assert file.read(100) == sent[500:600]
            assert file.metadata()["Content-Type"] == b"text/x-test"


def a_dataset_of_parquet_files_reads_back_equal():
    table = pa.table({"year": [2024, 2025] * 5000, "n": range(10_000), "text": [f"zeile {n}" for n in range(10_000)]})
    place = f"{BUCKET}/table"
    pyarrow.dataset.write_dataset(table, place, format="parquet", partitioning=["year"], filesystem=fs)
    read = pyarrow.dataset.dataset(place, partitioning=["year"], filesystem=fs).to_table()
    assert read.sort_by("n").select(table.column_names).equals(table.cast(read.select(table.column_names).schema))
    pyarrow.parquet.write_table(table, f"{BUCKET}/one.parquet", filesystem=fs)
    some = pyarrow.parquet.read_table(
        f"{BUCKET}/one.parquet", columns=["n"], filters=[("n", ">", 9_990)], filesystem=fs
    )
    assert some["n"].to_pylist() == list(range(9_991, 10_000))


def folders_are_made_listed_and_deleted():
    fs.create_dir(f"{BUCKET}/folder/empty")
    for name in ("folder/a", "folder/b/c"):
        _write(name, b"x")
    found = fs.get_file_info(FileSelector(f"{BUCKET}/folder", recursive=True))
    files = {info.path for info in found if info.type == FileType.File}
    assert files == {f"{BUCKET}/folder/a", f"{BUCKET}/folder/b/c"}
    folders = {info.path for info in found if info.type == FileType.Directory}
    assert folders == {f"{BUCKET}/folder/b", f"{BUCKET}/folder/empty"}
    fs.delete_dir(f"{BUCKET}/folder")
    assert fs.get_file_info(f"{BUCKET}/folder").type == FileType.NotFound


def files_are_copied_moved_and_deleted():
    _write("one", data(5000))
    fs.copy_file(f"{BUCKET}/one", f"{BUCKET}/two")
    fs.move(f"{BUCKET}/two", f"{BUCKET}/three ü")
    fs.delete_file(f"{BUCKET}/one")
    kinds = [fs.get_file_info(f"{BUCKET}/{name}").type for name in ("one", "two", "three ü")]
    assert kinds == [FileType.NotFound, FileType.NotFound, FileType.File]
    with fs.open_input_stream(f"{BUCKET}/three ü") as file:
        assert same(file.read(), data(5000))


def a_bucket_is_made_and_deleted():
    fs.create_dir(f"{BUCKET}-made")
    assert fs.get_file_info(f"{BUCKET}-made").type == FileType.Directory
    fs.delete_dir(f"{BUCKET}-made")
    assert fs.get_file_info(f"{BUCKET}-made").type == FileType.NotFound


def _write(name: str, content: bytes) -> None:
    with fs.open_output_stream(f"{BUCKET}/{name}") as out:
        out.write(content)
