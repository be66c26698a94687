"""A bucket with images, as a command is told it."""

from collections.abc import Sequence

from gateway.cli.route import fail
from gateway.config import Config
from gateway.config.models import EVERY_OTHER


def entries_of(config: Config) -> Sequence[str]:
    """Return the names of the entries under which something is made of images, or end the program."""
    entries = [name for name, said in config.buckets.items() if said.images]
    if not entries:
        fail("nothing is made of the images of any bucket")
    return entries


def check_bucket(config: Config, bucket: str) -> None:
    """End the program if nothing is made of the images of a bucket."""
    said = config.bucket(bucket)
    if bucket == EVERY_OTHER:
        fail("name one bucket")
    if said is None or not said.images:
        fail(f"{bucket}: nothing is made of its images")
