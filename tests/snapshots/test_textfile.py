"""What jobs tell Prometheus stays told until they tell another thing."""

import pytest

from gateway.snapshots.textfile import DRILL_SUCCESS, SNAPSHOT_OBJECTS, SNAPSHOT_SUCCESS, tell


def test_what_is_told_stands_there_with_its_bucket(tmp_path):
    file = tmp_path / "gateway.prom"
    tell(file, "media", {SNAPSHOT_SUCCESS: 1_790_000_000.5, SNAPSHOT_OBJECTS: 3})
    lines = file.read_text().splitlines()
    assert 'gateway_snapshot_last_success_timestamp_seconds{bucket="media"} 1.7900000005e+09' in lines
    assert 'gateway_snapshot_objects{bucket="media"} 3.0' in lines
    assert "# TYPE gateway_snapshot_objects gauge" in lines


def test_what_was_told_before_stays(tmp_path):
    file = tmp_path / "gateway.prom"
    tell(file, "media", {SNAPSHOT_OBJECTS: 3, DRILL_SUCCESS: 7})
    tell(file, 'o"\\ther', {SNAPSHOT_OBJECTS: 1})
    tell(file, "media", {SNAPSHOT_OBJECTS: 4})
    lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    assert sorted(lines) == [
        'gateway_restore_drill_last_success_timestamp_seconds{bucket="media"} 7.0',
        'gateway_snapshot_objects{bucket="media"} 4.0',
        'gateway_snapshot_objects{bucket="o\\"\\\\ther"} 1.0',
    ]


def test_what_is_no_file_of_metrics_is_not_overwritten(tmp_path):
    file = tmp_path / "notes"
    file.write_text("{{ not metrics\n")
    with pytest.raises(ValueError, match="metric"):
        tell(file, "media", {SNAPSHOT_OBJECTS: 4})
    assert file.read_text() == "{{ not metrics\n"
