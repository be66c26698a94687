"""What is said of ports holds, or tests disturb each other."""

from pathlib import Path

import pytest

from tests.gateway_process import free_port

GIVEN = Path("/proc/sys/net/ipv4/ip_local_port_range")


@pytest.mark.skipif(not GIVEN.exists(), reason="only Linux tells which ports it gives out")
def test_a_free_port_is_none_that_the_system_gives_out():
    first, last = map(int, GIVEN.read_text().split())
    assert not any(first <= free_port() <= last for _ in range(20))
