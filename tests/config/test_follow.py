"""What becomes of a configuration file that changes while it is served."""

import pytest
import structlog
import yaml
from prometheus_client import REGISTRY

from gateway.config import load
from gateway.config.fixed import differences
from gateway.config.follow import Follow

PLAIN = {
    "keys": [{"access_key": "FIRST", "secret_key": "first-secret"}],
    "backends": {"disk": {"type": "local", "path": "data"}},
    "buckets": {"*": {"backend": "disk"}},
}
COPIES = {
    "keys": PLAIN["keys"],
    "state": "sqlite:////state.db",
    "backends": {
        "one": {"type": "s3", "endpoint": "http://one.example.com", "access_key": "KEY", "secret_key": "old-secret"},
        "two": {"type": "local", "path": "two"},
        "three": {"type": "local", "path": "three"},
    },
    "buckets": {"media": {"backend": "one", "fallback": "two"}, "other": {"backend": "three"}},
}


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "config.yaml"
    write(file, PLAIN)
    return file


def write(file, config):
    """Replace a file as `kubectl` and careful editors do."""
    scratch = file.with_name("scratch")
    scratch.write_text(config if isinstance(config, str) else yaml.safe_dump(config))
    scratch.replace(file)


def config(file, said):
    write(file, said)
    return load(file)


def counted(result):
    return REGISTRY.get_sample_value("gateway_config_reloads_total", {"result": result}) or 0


def test_a_change_is_taken_when_the_file_was_the_same_twice(file):
    follow = Follow(file, load(file))
    assert not follow.look()
    write(file, {**PLAIN, "log": {"level": "debug"}})
    before = counted("applied")
    assert (follow.look(), follow.look(), follow.look()) == (False, True, False)
    assert follow.current.log.level == "debug"
    assert counted("applied") == before + 1
    assert REGISTRY.get_sample_value("gateway_config_last_reload_successful") == 1


def test_who_asks_gets_what_is_there_at_once_and_whether_or_not_it_changed(file):
    taken = []
    follow = Follow(file, load(file), taken.append)
    write(file, {**PLAIN, "log": {"level": "debug"}})
    assert follow.look(asked=True)
    assert [config.log.level for config in taken] == ["debug"]
    assert follow.look(asked=True)
    assert not follow.look()


def test_a_file_that_is_swapped_by_links_is_followed(tmp_path):
    """As Kubernetes mounts a ConfigMap: the name leads through a link that is moved to another folder."""
    for name, level in (("..1", "info"), ("..2", "error")):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "config.yaml", {**PLAIN, "log": {"level": level}})
    (tmp_path / "..data").symlink_to("..1")
    file = tmp_path / "config.yaml"
    file.symlink_to("..data/config.yaml")
    follow = Follow(file, load(file))
    (tmp_path / "..data_tmp").symlink_to("..2")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    assert (follow.look(), follow.look()) == (False, True)
    assert follow.current.log.level == "error"


def test_a_secret_in_a_file_of_its_own_is_followed(file, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("first-secret")
    write(file, {**PLAIN, "keys": [{"access_key": "FIRST", "secret_key": f"${{file:{secret}}}"}]})
    follow = Follow(file, load(file))
    secret.write_text("second-secret")
    assert (follow.look(), follow.look()) == (False, True)
    assert follow.current.keys[0].secret_key.get_secret_value() == "second-secret"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("lisen: 1", "config.yaml:1: lisen: unknown key, did you mean listen?"),
        ("keys: [", "config.yaml:1: is not YAML: expected the node content, but found '<stream end>'"),
        ("{}\nlog: 1", "config.yaml:2: is not YAML: expected '<document start>', but found '<block mapping start>'"),
    ],
)
def test_a_file_that_is_wrong_is_told_of_with_its_line_and_changes_nothing(file, text, problem):
    old = load(file)
    follow = Follow(file, old)
    write(file, text)
    before = counted("invalid")
    with structlog.testing.capture_logs() as logs:
        assert (follow.look(), follow.look(), follow.look()) == (False, False, False)
    assert [line["problem"].removeprefix(f"{file.parent}/") for line in logs] == [problem]
    assert follow.current is old
    assert counted("invalid") == before + 1
    assert REGISTRY.get_sample_value("gateway_config_last_reload_successful") == 0


def test_a_file_that_is_gone_or_unreadable_changes_nothing_and_is_taken_when_it_is_back(file):
    old = load(file)
    follow = Follow(file, old)
    file.unlink()
    assert (follow.look(), follow.look(), follow.look()) == (False, False, False)
    assert follow.current is old
    write(file, {**PLAIN, "log": {"level": "debug"}})
    assert (follow.look(), follow.look()) == (False, True)


def test_what_takes_a_restart_is_refused_whole_and_named(file):
    follow = Follow(file, load(file))
    write(file, {**PLAIN, "listen": ":9999", "workers": 3, "log": {"level": "debug"}})
    before = counted("restart_needed")
    with structlog.testing.capture_logs() as logs:
        assert not follow.look(asked=True)
    told = [line["problem"].removeprefix(f"{file.parent}/") for line in logs]
    assert told == [f"config.yaml: {key}: cannot be changed without a restart" for key in ("listen", "workers")]
    assert follow.current.log.level == "info"
    assert counted("restart_needed") == before + 1


def changed(file, change):
    """Return what cannot follow on the configuration with copies when `change` is made to it."""
    said = yaml.safe_load(yaml.safe_dump(COPIES))
    change(said)
    return differences(config(file, COPIES), config(file, said))


@pytest.mark.parametrize(
    "change",
    [
        lambda said: said["backends"]["one"].update(secret_key="new-secret", connections=7),
        lambda said: said["backends"]["three"].update(path="elsewhere"),
        lambda said: said["buckets"].update(other={"backend": "two"}),
        lambda said: said["buckets"].update(more={"backend": "three"}),
        lambda said: said["buckets"]["media"].update(failover="manual", public="read"),
        lambda said: said["buckets"]["media"].update(healing={"rate": 5, "bandwidth": "1MiB"}),
        lambda said: said.update(keys=[{"access_key": "OTHER", "secret_key": "other-secret"}]),
    ],
)
def test_what_does_not_move_a_copy_can_be_changed(file, change):
    assert changed(file, change) == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda said: said["backends"]["two"].update(path="elsewhere"), ["buckets.media"]),
        (lambda said: said["backends"]["one"].update(endpoint="http://other.example.com"), ["buckets.media"]),
        (lambda said: said["buckets"]["media"].update(prefix="a/"), ["buckets.media"]),
        (lambda said: said["buckets"]["media"].update(mirrors=["three"]), ["buckets.media"]),
        (lambda said: said["buckets"]["media"].pop("fallback"), ["buckets.media", "replication"]),
        (lambda said: said["buckets"]["other"].update(mirrors=["two"]), ["buckets.other"]),
        (lambda said: said.update(replication={"hold": "1m"}), ["replication"]),
        (lambda said: said.update(state="sqlite:////other.db"), ["state"]),
    ],
)
def test_what_moves_a_copy_takes_a_restart(file, change, named):
    assert changed(file, change) == named


def test_a_bucket_of_its_own_is_taken_from_those_that_have_copies_only_by_a_restart(file):
    every = {**COPIES, "buckets": {"*": COPIES["buckets"]["media"]}}
    one = {**COPIES, "buckets": {**every["buckets"], "own": {"backend": "three"}}}
    assert differences(config(file, every), config(file, one)) == ["buckets.*"]
