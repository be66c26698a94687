"""In a container the gateway is the first process: those whose parent was killed become its children."""

import os
import signal
import sys

import psutil
import pytest

from tests.gateway_process import GATEWAY, GatewayProcess, running, until
from tests.images.makers import jpeg

RULE = {"match": "in/{path*}", "key": "out/{path}", "mode": "sync", "variants": {"small": {"width": 20}}}
ADOPTING = """
import ctypes, os, sys
PR_SET_CHILD_SUBREAPER = 36
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no process adopts others but the first")
def test_encoders_whose_worker_was_killed_do_not_end_the_gateway(tmp_path):
    extra = {
        "workers": 2,
        "state": f"sqlite:///{tmp_path}/state.db",
        "images": {"workers": 1},
        "buckets": {"media": {"backend": "disk", "images": {"rules": [RULE]}}},
    }
    program = (sys.executable, "-c", ADOPTING, str(GATEWAY))
    with running(GatewayProcess(tmp_path, extra=extra, program=program)) as gateway:
        s3, family = gateway.client(), psutil.Process(gateway.process.pid)
        s3.create_bucket(Bucket="media")
        s3.put_object(Bucket="media", Key="in/x.jpg", Body=jpeg())
        (encoder,) = (each for each in family.children(recursive=True) if "gateway.images.worker" in each.cmdline())
        os.kill(encoder.ppid(), signal.SIGKILL)
        until(lambda: gateway.log.count('"event":"serving"') == 3)
        until(lambda: not encoder.is_running())
        s3.put_object(Bucket="media", Key="in/y.jpg", Body=jpeg())
        assert gateway.stop() == 0
