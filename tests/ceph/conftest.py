"""A cluster for all tests here, and an account on it for each of them."""

import os

import pytest

from tests.doubles.ceph import PACKAGES, ceph, missing


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    if absent := missing():
        reason = f"Ceph is not installed ({', '.join(absent)}): apt-get install --no-install-recommends {PACKAGES}"
        assert os.environ.get("GATEWAY_CEPH") != "required", reason
        pytest.skip(reason)
    with ceph(tmp_path_factory.mktemp("ceph")) as cluster:
        yield cluster


@pytest.fixture
def settings(cluster):
    account = cluster.user()
    return {"endpoint": f"http://127.0.0.1:{cluster.port}", "dialect": "ceph", **account._asdict()}
