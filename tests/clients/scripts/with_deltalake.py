"""Promises to Delta Lake (delta-rs), whose writers agree on the next version of a table by a conditional put."""

from concurrent.futures import ThreadPoolExecutor

import polars as pl
from deltalake import DeltaTable, QueryBuilder, write_deltalake
from given import BUCKET, TLS

SETTINGS = {"aws_allow_http": str(not TLS).lower()}
ROWS = pl.DataFrame({"id": range(1000), "third": [str(n % 3) for n in range(1000)]})


def of_writers_at_once_each_adds_a_version():
    place = f"s3://{BUCKET}/table"
    _append(place)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(_append, [place] * 12))
    assert DeltaTable(place, storage_options=SETTINGS).version() == 12
    assert pl.read_delta(place, storage_options=SETTINGS)["id"].sum() == 13 * ROWS["id"].sum()


def a_table_of_any_path_is_partitioned_changed_and_compacted():
    for path in ("plain", "a b/größe 日本", "plus + & = %41", "deep/~-_.'()"):
        place = f"s3://{BUCKET}/{path}"
        for _ in range(3):
            _append(place, partition_by=["third"])
        table = DeltaTable(place, storage_options=SETTINGS)
        table.delete("id < 500")
        table.optimize.compact()
        table.create_checkpoint()
        table.vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)
        # Not by pl.read_delta, which escapes the paths of a table twice.
        left = QueryBuilder().register("kept", table).execute("SELECT count(*), min(id), max(id) FROM kept")
        assert pl.DataFrame(left).row(0) == (1500, 500, 999), path


def an_older_version_is_read_and_restored():
    place = f"s3://{BUCKET}/table"
    _append(place)
    write_deltalake(place, ROWS.head(10), mode="overwrite", storage_options=SETTINGS)
    assert pl.read_delta(place, storage_options=SETTINGS).height == 10
    assert pl.read_delta(place, version=0, storage_options=SETTINGS).height == 1000
    table = DeltaTable(place, storage_options=SETTINGS)
    table.restore(0)
    assert pl.read_delta(place, storage_options=SETTINGS).height == 1000


def _append(place: str, partition_by: list[str] | None = None) -> None:
    write_deltalake(place, ROWS, mode="append", partition_by=partition_by, storage_options=SETTINGS)
