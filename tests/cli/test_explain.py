import json
from pathlib import Path

import pytest

from tests.cli.test_commands import gateway

SECRET = "never-to-be-shown"
CONFIG = f"""
keys:
  - {{access_key: APP, secret_key: {SECRET}, allow: ["read,write tenant-*/*"]}}
  - {{access_key: REPORTS, secret_key: {SECRET}2, allow: ["list tenant-a"]}}
  - {{access_key: ROOT, secret_key: {SECRET}3}}
backends:
  aws: {{type: s3, region: eu-west-1, access_key: OURS, secret_key: {SECRET}4}}
  disk: {{type: local, path: objects}}
buckets:
  tenant-a: {{backend: aws, name: acme-tenants, prefix: a/}}
  archive: {{backend: aws, read_only: on, public: read, expire_uploads: 1d}}
  shared: {{backend: disk, acls: canned}}
  "*": {{backend: disk}}
"""


@pytest.fixture
def explain(tmp_path):
    (tmp_path / "c.yaml").write_text(CONFIG)
    (tmp_path / "c.yaml").chmod(0o600)

    def run(*arguments, config="c.yaml"):
        done = gateway("explain", *arguments, "--config", config, folder=tmp_path)
        assert SECRET not in done.stdout + done.stderr
        assert not (tmp_path / "objects").exists()
        return done

    return run


def told(done):
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_a_route_by_name_says_where_an_object_lies_and_who_may_touch_it(explain):
    found = told(explain("tenant-a/x/y.jpg", "--json"))
    assert found == {
        "bucket": "tenant-a",
        "key": "x/y.jpg",
        "route": "buckets.tenant-a",
        "why": "by its name",
        "backend": "aws",
        "type": "s3",
        "bucket_there": "acme-tenants",
        "key_there": "a/x/y.jpg",
        "read_only": False,
        "public": False,
        "acls": "disabled",
        "expire_uploads": None,
        "hidden": False,
        "may": {
            "APP": ["read", "write"],
            "REPORTS": ["list"],
            "ROOT": ["read", "write", "delete", "list", "admin"],
            "everybody": [],
        },
    }


def test_the_same_is_told_to_people(explain):
    lines = [line.split(maxsplit=1) for line in explain("tenant-a/x.jpg").stdout.splitlines()]
    assert ["route", "buckets.tenant-a, by its name"] in lines
    assert ["there", "acme-tenants/a/x.jpg"] in lines
    assert ["APP", "read, write"] in lines
    assert ["everybody", "nothing"] in lines


def test_every_other_bucket_is_told_as_such(explain):
    found = told(explain("elsewhere/key", "--json"))
    assert (found["route"], found["backend"], found["bucket_there"]) == ("buckets.*", "disk", "elsewhere")
    assert found["expire_uploads"] == 7 * 86400


def test_a_bucket_itself_can_be_asked_about(explain):
    assert told(explain("tenant-a", "--json"))["may"]["REPORTS"] == ["list"]
    assert ["there", "acme-tenants/a/"] in [line.split() for line in explain("tenant-a").stdout.splitlines()]
    assert ["there", "shared"] in [line.split() for line in explain("shared").stdout.splitlines()]


def test_nobody_may_write_what_is_read_only_and_everybody_read_what_is_public(explain):
    found = told(explain("archive/key", "--json"))
    assert found["may"] == {
        "APP": ["read"],
        "REPORTS": ["read"],
        "ROOT": ["read", "list", "admin"],
        "everybody": ["read"],
    }
    assert found["expire_uploads"] is None
    assert told(explain("archive", "--json"))["may"]["everybody"] == []


def test_what_is_the_gateways_own_is_nobodys(explain):
    assert told(explain("tenant-a/.gw/bucket", "--json"))["may"] == {}
    assert told(explain("elsewhere/.gw/file", "--json"))["may"]["ROOT"] != []
    assert "denied to everybody" in explain("tenant-a/.gw/bucket").stdout


def test_acls_are_mentioned_where_they_count(explain):
    assert "ACLs have to allow it" in explain("shared/key").stdout


def test_a_bucket_without_a_route_does_not_exist(explain, tmp_path):
    Path(tmp_path / "named.yaml").write_text(CONFIG.replace('  "*": {backend: disk}\n', ""))
    (tmp_path / "named.yaml").chmod(0o600)
    done = explain("elsewhere/key", config="named.yaml")
    assert (done.returncode, done.stdout) == (1, "")
    assert "does not exist" in done.stderr


def test_nothing_to_explain_is_refused(explain):
    assert explain("/key").returncode == 2


def test_without_a_configuration_the_key_in_the_file_may_do_everything_and_none_is_made(tmp_path):
    done = gateway("explain", "bucket/key", folder=tmp_path)
    assert "the key in data/.gw/keys  read, write, delete, list, admin" in done.stdout
    assert list(tmp_path.iterdir()) == []
