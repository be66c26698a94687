"""The admin port of a gateway that runs has the backends examined for who asks."""

import json
import time
import urllib.request

import pytest

from tests.gateway_process import PATIENCE_S, GatewayProcess, running


def asked(process, method):
    request = urllib.request.Request(f"http://127.0.0.1:{process.admin_port}/check", method=method)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_gateway_that_runs_examines_its_backends_once_it_is_asked_to(tmp_path, workers):
    with running(GatewayProcess(tmp_path, extra={"workers": workers})) as process:
        assert asked(process, "GET") == {"running": False, "ended": None, "result": None}
        asked(process, "POST")
        deadline = time.monotonic() + PATIENCE_S
        while not (told := asked(process, "GET"))["result"]:
            assert time.monotonic() < deadline, "nothing came of it"
        (backend,) = told["result"]["backends"].values()
        assert backend["checks"]["writable"]["result"] == "yes"
