"""One gateway for all attacks; in the end what is around it must be as it was, and its log clean."""

import shutil

import pytest

from tests.fuzz.attacked import Attacked, configuration, surround
from tests.gateway_process import GatewayProcess, running


@pytest.fixture(scope="session")
def attacked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("attacked")
    surround(folder)
    before = None
    try:
        with running(GatewayProcess(folder, extra=configuration(folder))) as process:
            site = Attacked(process)
            before = site.outside()
            yield site
            assert process.process.poll() is None, "the gateway has ended"
            process.stop()
        assert site.outside() == before
        site.check_log()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
