"""`gateway explain`: where a bucket or an object lies, why there, and who may do what with it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

import click

from gateway.app import hides_own_keys
from gateway.auth.keys import VERBS, Grants
from gateway.cli.configured import config_option
from gateway.config import Config
from gateway.config.models import EVERY_OTHER, Bucket, KeyFile
from gateway.storage import PRIVATE

CHANGES: Final = frozenset({"write", "delete"})
EVERYBODY: Final = "everybody"


@dataclass(frozen=True)
class Explained:
    """What the configuration says of a bucket or an object; expiry in seconds, None for never."""

    bucket: str
    key: str
    route: str
    why: str
    backend: str
    type: str
    bucket_there: str
    key_there: str
    read_only: bool
    public: bool
    acls: str
    expire_uploads: float | None
    hidden: bool
    may: Mapping[str, Sequence[str]]  # verbs, by access key


@click.command()
@click.argument("target", metavar="BUCKET[/KEY]")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
def command(target: str, as_json: bool, config: Config) -> None:  # noqa: FBT001  click passes it by name
    """Say where BUCKET/KEY lies, by which route, and which access keys may do what with it.

    Only the configuration is looked at: no backend is asked whether anything is there.
    """
    bucket, _, key = target.partition("/")
    if not bucket:
        raise click.UsageError(f"expected BUCKET or BUCKET/KEY, got {target}")
    said = config.bucket(bucket)
    if said is None or bucket == EVERY_OTHER:
        click.echo(f'{bucket}: there is no entry for it under buckets, and none for "*": it does not exist', err=True)
        raise SystemExit(1)
    explained = explain(config, said, bucket, key)
    click.echo(json.dumps(asdict(explained), indent=2) if as_json else "\n".join(_lines(explained)))


def explain(config: Config, said: Bucket, bucket: str, key: str) -> Explained:
    """Put together what a configuration says of an object, or of a bucket where the key is empty."""
    named = bucket in config.buckets
    hidden = key.startswith(PRIVATE) and hides_own_keys(config, said.backend)
    return Explained(
        bucket=bucket,
        key=key,
        route=f"buckets.{bucket if named else EVERY_OTHER}",
        why="by its name" if named else "as every bucket without an entry",
        backend=said.backend,
        type=config.backends[said.backend].type,
        bucket_there=said.name or bucket,
        key_there=said.prefix + key,
        read_only=said.read_only,
        public=said.public == "read",
        acls=said.acls,
        expire_uploads=config.expire_uploads(said),
        hidden=hidden,
        may={} if hidden else dict(_may(config, said, bucket, key)),
    )


def _may(config: Config, said: Bucket, bucket: str, key: str) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield who may do what, as far as the rights of keys go."""
    if isinstance(config.keys, KeyFile):
        rights = {f"the key in {config.keys.file}": Grants.parse(["*"])}
    else:
        rights = {each.access_key: Grants.parse(each.allow) for each in config.keys}
    denied = CHANGES if said.read_only else frozenset()
    is_public = said.public == "read" and bool(key)
    for name, granted in rights.items():
        yield (
            name,
            [
                verb
                for verb in VERBS
                if verb not in denied and (granted.allows(verb, bucket, key) or (is_public and verb == "read"))
            ],
        )
    yield EVERYBODY, ["read"] if is_public else []


def _lines(explained: Explained) -> Iterator[str]:
    there = f"{explained.bucket_there}/{explained.key_there}".rstrip("/" if not explained.key_there else "")
    age = explained.expire_uploads
    for name, value in (
        ("bucket", explained.bucket),
        ("key", explained.key or "none: the bucket itself"),
        ("route", f"{explained.route}, {explained.why}"),
        ("backend", f"{explained.backend} ({explained.type})"),
        ("there", there),
        ("read-only", "yes: every write is denied" if explained.read_only else "no"),
        ("public", "yes: everybody may read the objects" if explained.public else "no"),
        ("acls", _ACLS[explained.acls]),
        ("uploads", "are never given up" if age is None else f"are given up after {age / 3600:g} hours"),
    ):
        yield f"{name:<9}  {value}"
    yield ""
    if explained.hidden:
        yield f"What begins with {PRIVATE} is the gateway's own, and denied to everybody."
        return
    width = max(len(name) for name in explained.may)
    yield f"{'KEY':<{width}}  MAY"
    for name, verbs in explained.may.items():
        yield f"{name:<{width}}  {', '.join(verbs) or 'nothing'}"


_ACLS: Final[Mapping[str, str]] = {
    "disabled": "disabled: the rights of keys alone decide",
    "canned": "canned: owners and ACLs have to allow it, too, and may allow more",
}
