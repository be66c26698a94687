import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PEER = ROOT / ".clients" / "rclone" / "bin" / "rclone"


@pytest.mark.slow
@pytest.mark.skipif(not PEER.exists(), reason="make test-clients has not set up rclone")
def test_the_benchmark_measures_both_servers_and_writes_its_page(tmp_path: Path):
    page = tmp_path / "performance.md"
    command = [sys.executable, "-m", "benchmarks.run", "--quick", "--dir", str(tmp_path), "--out", str(page)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    text = page.read_text(encoding="utf-8")
    assert text.strip() == done.stdout.strip()
    for measured in ("| GET 1 KiB |", "| PUT 1 MiB |", "| HEAD |", "| DELETE |", "| list 1000 of 2,000 keys |"):
        assert measured in text
    assert "20 parallel uploads of 4 MiB | rclone" in text
    for measured in ("# In front of S3", "| GET 64 MiB |", "| GET 1 KiB, one at a time |"):
        assert measured in text[text.index("# In front of S3") :]
    assert "50 parallel downloads of 4 MiB | gateway" in text
    assert "50 parallel uploads of 4 MiB | rclone" in text
    assert "CompleteMultipartUpload of 3 parts of 5 MiB | gateway" in text


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_benchmark_of_images_measures_all_that_its_page_tells():
    command = [sys.executable, "-m", "benchmarks.images", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    for measured in (
        "| **gateway** |",
        "| Pillow, as tutorials show it |",
        "| AVIF 1600, `effort: small` |",
        "| two workers busy |",
    ):
        assert measured in done.stdout
    assert "| made |" in done.stdout


@pytest.mark.slow
def test_the_benchmark_of_replication_measures_all_that_its_page_tells():
    command = [sys.executable, "-m", "benchmarks.replication", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    for measured in (
        "| CPU of a PUT with a mirror",
        "| PUTs with a mirror",
        "| CPU of a GET with a fallback",
        "| keys of 1 KiB healed",
    ):
        assert measured in done.stdout
