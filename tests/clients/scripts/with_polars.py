"""Promises to Polars, which reads and writes tables in many formats."""

import polars as pl
from given import BUCKET, KEYS, TLS
from polars.testing import assert_frame_equal

SETTINGS = {"aws_allow_http": str(not TLS).lower()}
TABLE = pl.DataFrame({"n": range(20_000), "text": [f"zeile {n}" for n in range(20_000)]}).with_columns(
    third=pl.col.n % 3
)


def a_table_round_trips_under_any_key():
    for key in KEYS:
        TABLE.write_parquet(f"s3://{BUCKET}/{key}", storage_options=SETTINGS)
        # Without glob=False it would take some of the keys for patterns.
        assert_frame_equal(pl.read_parquet(f"s3://{BUCKET}/{key}", storage_options=SETTINGS, glob=False), TABLE)


def every_format_streams_out_and_back():
    place = f"s3://{BUCKET}/größe 日本"
    lazy = TABLE.lazy()
    lazy.sink_csv(f"{place}.csv", storage_options=SETTINGS)
    assert_frame_equal(pl.scan_csv(f"{place}.csv", storage_options=SETTINGS).collect(), TABLE)
    lazy.sink_ndjson(f"{place}.ndjson", storage_options=SETTINGS)
    assert_frame_equal(pl.scan_ndjson(f"{place}.ndjson", storage_options=SETTINGS).collect(), TABLE)
    lazy.sink_ipc(f"{place}.arrow", storage_options=SETTINGS)
    assert_frame_equal(pl.scan_ipc(f"{place}.arrow", storage_options=SETTINGS).collect(), TABLE)


def a_large_table_arrives_whole():
    large = pl.DataFrame({"bytes": [n.to_bytes(8, "big") * 3000 for n in range(1000)]})
    large.write_parquet(f"s3://{BUCKET}/large", storage_options=SETTINGS, compression="uncompressed")
    assert_frame_equal(pl.read_parquet(f"s3://{BUCKET}/large", storage_options=SETTINGS), large)


def a_partitioned_table_is_found_by_its_folders():
    TABLE.write_parquet(f"s3://{BUCKET}/parts/", partition_by="third", storage_options=SETTINGS)
    whole = pl.scan_parquet(f"s3://{BUCKET}/parts/", storage_options=SETTINGS)
    assert_frame_equal(whole.collect(), TABLE, check_row_order=False, check_column_order=False)
    some = pl.scan_parquet(f"s3://{BUCKET}/parts/**/*.parquet", storage_options=SETTINGS).filter(third=2, n=29)
    assert some.collect()["text"].to_list() == ["zeile 29"]
