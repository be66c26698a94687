"""`gateway images`, over what a gateway has left on a disk."""

import asyncio
import json
import subprocess
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from gateway.app import opened_storage
from gateway.cli import main
from gateway.images.going import Plan, Rebuild, TooManyError, Wanted
from gateway.images.keeper import Keeper
from gateway.images.queue import Queue
from gateway.imaging import finder, scope_of, workers_of
from gateway.state import open_store
from gateway.storage import Address, Body, ListQuery, WriteOptions
from tests.gateway_process import GATEWAY
from tests.images.bench import config_of
from tests.images.makers import jpeg


class Disk:
    """A bucket with images, and a configuration file for it."""

    def __init__(self, folder: Path):
        self.config = config_of(folder)
        self.file = folder / "config.yaml"
        (folder / "objects" / "media").mkdir(parents=True)
        said = self.config.model_dump(mode="json", exclude_unset=True)
        said["state"] = self.config.state
        self.file.write_text(yaml.safe_dump(said))

    def __call__(self, *arguments):
        result = CliRunner().invoke(main, ["images", *arguments, "--config", str(self.file)])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    def put(self, *keys, data=None, **options):
        async def put():
            async with opened_storage(self.config) as storage:
                for key in keys:
                    body = jpeg() if data is None else data
                    await storage.put(Address("media", key), Body(chunks(body), len(body)), WriteOptions(**options))

        asyncio.run(put())

    def delete(self, *keys):
        async def delete():
            async with opened_storage(self.config) as storage:
                for key in keys:
                    await storage.delete(Address("media", key))

        asyncio.run(delete())

    def listed(self):
        async def keys():
            async with opened_storage(self.config) as storage:
                page = await storage.list_objects("media", ListQuery())
                return {info.key for info in page.objects}

        return asyncio.run(keys())


async def chunks(data):
    yield data


@pytest.fixture
def disk(tmp_path):
    return Disk(tmp_path)


BOTH = {"in/x.jpg", "out/small/x.jpg", "out/webp/x.webp"}


def test_a_rebuild_makes_what_is_missing_and_nothing_twice(disk):
    disk.put("in/x.jpg")
    first = disk("rebuild", "media")
    assert first.exit_code == 0
    assert "1 key, 2 variants to be made" in first.output
    assert "1 key, 2 variants made" in first.output
    assert disk.listed() == BOTH
    assert "0 variants to be made" in disk("rebuild", "media").output
    disk.delete("out/small/x.jpg")
    assert "1 key, 1 variant made" in disk("rebuild", "media").output
    assert disk.listed() == BOTH
    assert "1 key, 2 variants made" in disk("rebuild", "media", "--force").output


def test_a_dry_run_makes_nothing(disk):
    disk.put("in/x.jpg")
    assert "2 variants to be made" in disk("rebuild", "media", "--dry-run").output
    assert disk.listed() == {"in/x.jpg"}


def test_a_rebuild_goes_by_prefix_and_variant_and_goes_on_where_it_was_stopped(disk):
    disk.put("in/a/x.jpg", "in/b/x.jpg", "in/c/x.jpg")
    disk("rebuild", "media", "--prefix", "in/a/", "--variant", "small")
    made = {"out/small/a/x.jpg"}
    assert disk.listed() == {"in/a/x.jpg", "in/b/x.jpg", "in/c/x.jpg", *made}
    assert "1 key, 2 variants made" in disk("rebuild", "media", "--after", "in/b/x.jpg").output
    assert disk.listed() >= {"out/small/c/x.jpg", "out/webp/c/x.webp"}
    assert "out/small/b/x.jpg" not in disk.listed()


def test_a_rebuild_tells_what_cannot_be_made(disk):
    disk.put("in/x.jpg", data=b"no image")
    result = disk("rebuild", "media")
    assert result.exit_code == 1
    assert "! in/x.jpg\tnot_an_image" in result.output


def test_a_rebuild_leaves_what_is_no_image_of_a_rule(disk):
    disk.put("elsewhere/x.jpg")
    assert "0 keys, 0 variants to be made" in disk("rebuild", "media").output


def test_a_variant_or_a_bucket_that_is_not_there_is_told(disk):
    assert "there is no variant tiny, there are: small, webp" in disk("rebuild", "media", "--variant", "tiny").output
    assert disk("rebuild", "other").exit_code == 1


def test_a_rebuild_never_makes_more_than_was_counted(disk):
    disk.put("in/x.jpg", "in/y.jpg")

    async def run():
        find = finder(disk.config)
        async with opened_storage(disk.config) as storage, workers_of(disk.config) as workers:
            keeper = Keeper(storage, workers, find)
            rebuild = Rebuild(storage, keeper, find("media"), Wanted("media", at_once=1))
            await rebuild.run(Plan(2, 3), lambda steps: None)

    with pytest.raises(TooManyError):
        asyncio.run(run())
    assert disk.listed() == {"in/x.jpg", "in/y.jpg", "out/small/x.jpg", "out/webp/x.webp"}


def test_variants_of_no_image_are_pruned_and_nothing_else_is(disk):
    disk.put("in/x.jpg", "in/y.jpg")
    disk("rebuild", "media")
    disk.put("out/small/mine.jpg", data=b"mine")
    disk.delete("in/y.jpg")
    dry = disk("prune", "media", "--dry-run")
    assert "- out/small/y.jpg" in dry.output
    assert "out/webp/y.webp" in disk.listed()
    assert "2 variants removed" in disk("prune", "media").output
    assert disk.listed() == BOTH | {"out/small/mine.jpg"}


def test_variants_that_no_rule_makes_any_more_are_pruned(disk):
    disk.put("in/x.jpg")
    disk("rebuild", "media")
    disk.file.write_text(disk.file.read_text().replace("small:", "tiny:"))
    assert "- out/small/x.jpg" in disk("prune", "media").output
    assert disk.listed() == {"in/x.jpg", "out/webp/x.webp"}
    disk.file.write_text(disk.file.read_text().replace("out/{variant}", "made/{variant}"))
    assert "0 variants removed" in disk("prune", "media").output
    assert "1 variant removed" in disk("prune", "media", "--prefix", "out/").output


def test_the_status_tells_what_waits_and_what_was_given_up(disk):
    at = Address("media", "in/x.jpg")

    async def fill():
        async with open_store(disk.config.state) as store:
            queue = Queue(store, scope_of(disk.config))
            await queue.add([at, Address("media", "in/y.jpg")])
            [job] = await queue.take(1)
            await queue.fail(job, "broken")

    asyncio.run(fill())
    told = disk("status").output
    assert "waiting                1 image, the first for" in told
    assert "media/in/x.jpg  broken" in told
    document = json.loads(disk("status", "media", "--json").output)
    assert (document["jobs"], document["failed"], document["failed_keys"][0]["key"]) == (1, 1, "in/x.jpg")


def test_without_images_there_is_nothing_to_tell(tmp_path):
    (tmp_path / "c.yaml").write_text(f"backends: {{disk: {{type: local, path: {tmp_path}/o}}}}\n")
    command = [str(GATEWAY), "images", "status", "--config", str(tmp_path / "c.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "nothing is made of the images of any bucket\n")
