"""The image is built, holds no more than it needs, and serves as a stranger with a root that cannot be written to."""

import os
import re
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from gateway.config.load import load
from tests.deploy import image
from tests.deploy.image import Container
from tests.deploy.tools import ROOT, run
from tests.gateway_process import until

DOCKERFILE = (ROOT / "Dockerfile").read_text()
CLIENT = """
import os, sys, boto3
s3 = boto3.client("s3", endpoint_url="http://127.0.0.1:9000", region_name="us-east-1")
if "first" in sys.argv:
    s3.create_bucket(Bucket="media")
    s3.put_object(Bucket="media", Key="a/b.txt", Body=b"hello")
assert s3.get_object(Bucket="media", Key="a/b.txt")["Body"].read() == b"hello"
"""
PICTURES = """
listen: 0.0.0.0:9000
admin: 0.0.0.0:9001
keys: {file: /var/lib/gateway/keys}
backends:
  disk: {type: local, path: /var/lib/gateway/objects}
buckets:
  media:
    backend: disk
    images:
      mode: sync
      rules:
        - match: "photos/{name}.jpg"
          key: "photos/{name}/{variant}.{ext}"
          variants:
            small: {width: 64, format: webp}
            modern: {width: 32, format: avif}
            logo: {width: 16, format: png}
state: sqlite:////var/lib/gateway/state.db
images: {workers: 1}
"""
PHOTOGRAPHER = """
import io, boto3
from PIL import Image
s3 = boto3.client("s3", endpoint_url="http://127.0.0.1:9000", region_name="us-east-1")
s3.create_bucket(Bucket="media")
photo = io.BytesIO()
Image.effect_mandelbrot((400, 300), (-2, -1.5, 1, 1.5), 50).convert("RGB").save(photo, "JPEG")
s3.put_object(Bucket="media", Key="photos/one.jpg", Body=photo.getvalue(), ContentType="image/jpeg")
assert s3.get_object(Bucket="media", Key="photos/one.jpg")["Body"].read() == photo.getvalue()
for name, size in (("small.webp", (64, 48)), ("modern.avif", (32, 24)), ("logo.png", (16, 12))):
    made = Image.open(io.BytesIO(s3.get_object(Bucket="media", Key=f"photos/one/{name}")["Body"].read()))
    assert (made.format.lower(), made.size) == (name.partition(".")[2], size), (name, made)
"""


@pytest.fixture(scope="module")
def files() -> Iterator[Path]:
    """The files of the image, built anew."""
    if os.environ.get("GATEWAY_IMAGE") != "required":
        pytest.skip("make image-test builds the image")
    assert image.missing() == []
    image.build()
    with image.mounted() as files:
        yield files


def test_the_dockerfile_is_without_fault():
    run("hadolint", "--failure-threshold", "style", ROOT / "Dockerfile")


def test_the_image_bears_the_version_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert re.search(r"^ARG VERSION=(.*)$", DOCKERFILE, re.MULTILINE)[1] == project["version"]


def test_the_configuration_in_the_image_is_valid_and_listens_where_a_container_is_asked():
    config = load(ROOT / "deploy" / "image.yaml", {})
    assert (config.listen.host, config.listen.port) == ("0.0.0.0", 9000)
    assert (config.admin.host, config.admin.port) == ("0.0.0.0", 9001)


def test_everything_that_is_installed_is_locked_by_its_hash():
    for name in ("build", "runtime"):
        lock = (ROOT / "requirements" / f"{name}.txt").read_text()
        assert lock.count("==") == len(re.findall(r"== *\S+[^\n]*\\\n    --hash=sha256:", lock))
    installs = [line for line in DOCKERFILE.replace("\\\n", " ").splitlines() if " install " in line and "pip" in line]
    assert sum(line.count("pip install") + line.count("python install") for line in installs) == 3
    assert all("--require-hashes" in line or "--no-index" in line for line in installs)


@pytest.mark.timeout(1800)
def test_the_image_holds_no_compiler_no_pip_of_its_own_and_nothing_of_the_build(files: Path):
    there = {
        path.name for folder in ("usr/bin", "usr/local/bin", "opt/gateway/bin") for path in (files / folder).glob("*")
    }
    assert not there & {"gcc", "cc", "c++", "clang", "make", "ld", "as"}
    assert not (files / "opt" / "gateway" / "bin" / "pip").exists()
    assert not list((files / "opt").glob("build*"))
    assert not (files / "src").exists()


def test_the_image_says_how_it_is_run(files: Path):
    config = image.configuration()
    assert config["User"] == "65532:65532"
    assert config["Labels"]["org.opencontainers.image.version"]
    assert len(config["Labels"]["org.opencontainers.image.revision"]) == 40
    assert set(config["ExposedPorts"]) == {"9000/tcp", "9001/tcp"}
    assert config["Healthcheck"]["Test"][0] == "CMD"


def test_it_serves_as_an_ordinary_user_with_a_read_only_root_and_keeps_what_was_stored(files: Path, tmp_path: Path):
    volume = _volume(tmp_path)
    with Container(files, volume).running() as container:
        _wait_until_healthy(container)
        assert container.enter("/usr/bin/touch", "/etc/here", files=True).returncode != 0
        client = _client(container, CLIENT)
        first = container.enter(*client, "first")
        assert first.returncode == 0, first.stderr
        assert container.stop() == 0
    assert (volume / "objects" / "media" / "a" / "b.txt").read_bytes() == b"hello"
    assert (volume / "objects" / "media" / "a" / "b.txt").stat().st_uid == 65532
    with Container(files, volume).running() as container:
        _wait_until_healthy(container)
        again = container.enter(*client)
        assert again.returncode == 0, again.stderr


def test_it_makes_variants_of_images_there_too(files: Path, tmp_path: Path):
    volume = _volume(tmp_path)
    (volume / "config.yaml").write_text(PICTURES)
    with Container(files, volume, ["serve", "--config", "/var/lib/gateway/config.yaml"]).running() as container:
        _wait_until_healthy(container)
        done = container.enter(*_client(container, PHOTOGRAPHER))
        assert done.returncode == 0, done.stderr + container.log.read_text()
        assert container.stop() == 0
    assert (volume / "objects" / "media" / "photos" / "one" / "small.webp").stat().st_uid == 65532


def _volume(folder: Path) -> Path:
    """Return a folder that belongs to the user of the image."""
    volume = folder / "volume"
    volume.mkdir()
    os.chown(volume, 65532, 65532)
    return volume


def _client(container: Container, program: str) -> Sequence[str]:
    """Return how to run a program of Python with the key that the gateway has made, which it prints when it serves."""
    printed = re.compile(r"^export (AWS_(?:ACCESS|SECRET)\w+=\S+)$", re.MULTILINE)
    key = until(lambda: printed.findall(container.log.read_text()))
    return ("env", *key, sys.executable, "-c", program)


def _wait_until_healthy(container: Container) -> None:
    """Ask as a container engine does, by the image's own check."""
    check = image.configuration()["Healthcheck"]["Test"][1:]
    deadline = time.monotonic() + 60
    while (asked := container.enter("/opt/gateway/bin/" + check[0], *check[1:], files=True)).returncode:
        assert time.monotonic() < deadline, asked.stderr + container.log.read_text()
        time.sleep(0.2)
