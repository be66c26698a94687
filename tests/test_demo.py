"""The demonstration demonstrates what its page says."""

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PATIENCE_S = 100


HASTY = f"""
import sys
sys.path.insert(0, {str(ROOT / "examples")!r})
import outage
outage.GATEWAY = [sys.executable, {str(ROOT / "tests" / "outages" / "hasty.py")!r}, "serve", "--config"]
outage.main()
"""


@pytest.mark.parametrize(
    "program",
    [("-c", HASTY), pytest.param((str(ROOT / "examples" / "outage.py"),), marks=pytest.mark.faults)],
    ids=["hasty", "as it is"],
)
def test_the_demonstration_of_an_outage_ends_with_its_proof(tmp_path, program):
    command = [sys.executable, *program, "--seconds", "2"]
    where = {**os.environ, "TMPDIR": str(tmp_path)}
    run = subprocess.Popen(command, env=where, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        said, _ = run.communicate(timeout=PATIENCE_S)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
    assert run.returncode == 0, said
    *told, kept, gone = said.splitlines()
    assert [line.split("  ")[1] for line in told] == [
        "all is well",
        "the cloud was killed: FAILOVER",
        "without the cloud",
        "the cloud is back, and healed: NORMAL",
        "all is well again",
    ]
    assert re.fullmatch(r"[1-9]\d* objects are in the cloud and on the mirror, .*", kept)
    assert re.fullmatch(r"\d+ deleted keys are absent from both", gone)
    assert list(tmp_path.iterdir()) == []
