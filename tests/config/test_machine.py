"""How much memory there is: the machine's, or as much of it as a container is given."""

import os

from gateway.config import Config
from gateway.config.machine import available_memory

MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
MIB = 1024 * 1024


def given(folder, own, files):
    (folder / "own").write_text(own)
    for name, text in files.items():
        (folder / "groups" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "groups" / name).write_text(text)
    return available_memory(folder / "groups", folder / "own")


def test_without_groups_it_is_that_of_the_machine(tmp_path):
    assert available_memory(tmp_path / "none", tmp_path / "nothing") == MACHINE
    assert given(tmp_path, "0::/\n", {"memory.max": "max\n"}) == MACHINE


def test_a_container_sees_its_own_limit_as_that_of_the_root(tmp_path):
    assert given(tmp_path, "0::/../../pod\n", {"memory.max": f"{64 * MIB}\n"}) == 64 * MIB


def test_the_least_of_the_groups_around_a_process_holds(tmp_path):
    files = {"a/memory.max": f"{32 * MIB}\n", "a/b/memory.max": "max\n", "memory.max": f"{64 * MIB}\n"}
    assert given(tmp_path, "0::/a/b\n", files) == 32 * MIB


def test_groups_of_the_first_kind_have_limits_too(tmp_path):
    own = "3:cpuset:/other\n4:memory:/a\n0::/\n"
    files = {"memory/a/memory.limit_in_bytes": f"{32 * MIB}\n", "memory/other/memory.limit_in_bytes": "4096\n"}
    assert given(tmp_path, own, files) == 32 * MIB


def test_bodies_take_half_of_it_or_what_is_said_and_workers_share_it():
    assert Config.model_validate({}).body_memory == available_memory() // 2
    said = {"limits": {"memory": "64MiB"}, "workers": 4}
    assert Config.model_validate(said).body_memory == 16 * MIB
