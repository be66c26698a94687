"""`gateway presign`: a URL that anybody may use for a while."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote, urlsplit

import click
from click.core import ParameterSource

from gateway.cli.configured import config_option
from gateway.config import Config
from gateway.config.keyfile import kept_key
from gateway.config.models import KeyFile
from gateway.config.units import seconds
from gateway.sigv4 import Credentials, Request, presigned_query

LONGEST: Final = 7 * 86400  # https://docs.aws.amazon.com/AmazonS3/latest/userguide/ShareObjectPreSignedURL.html


def _read_expiry(_context: click.Context, _parameter: click.Parameter, value: str) -> int:
    try:
        expiry = int(float(str(seconds(value))))
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    if not 1 <= expiry <= LONGEST:
        raise click.BadParameter("expected something between 1s and 7d")
    return expiry


@click.command()
@click.argument("target", metavar="BUCKET/KEY")
@click.option("--method", type=click.Choice(["GET", "HEAD", "PUT", "DELETE"]), default="GET", show_default=True)
@click.option("--expires", default="1h", show_default=True, callback=_read_expiry, help="At most 7d.")
@click.option("--endpoint", metavar="URL", help="Where clients reach the gateway, if not where it listens.")
@config_option
def command(target: str, method: str, expires: int, endpoint: str | None, config: Config) -> None:
    """Print a presigned URL for BUCKET/KEY, signed with the first key of the configuration.

    Without --config, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL are taken from the
    environment where they are set.
    """
    bucket, _, key = target.partition("/")
    if not bucket or not key:
        raise click.UsageError(f"expected BUCKET/KEY, got {target}")
    source = click.get_current_context().get_parameter_source("config")
    environment = os.environ if source is ParameterSource.DEFAULT else {}
    base = (endpoint or environment.get("AWS_ENDPOINT_URL") or _endpoint(config)).rstrip("/")
    path = quote(f"/{bucket}/{key}", safe="/~")
    request = Request(method, path, "", {"host": urlsplit(base).netloc})
    timestamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    click.echo(f"{base}{path}?{presigned_query(request, _credentials(config, environment), timestamp, expires)}")


def _endpoint(config: Config) -> str:
    return f"{'https' if config.tls else 'http'}://{config.listen}"


def _credentials(config: Config, environment: Mapping[str, str]) -> Credentials:
    given = environment.get("AWS_ACCESS_KEY_ID"), environment.get("AWS_SECRET_ACCESS_KEY")
    if given[0] and given[1]:
        return Credentials(given[0], given[1], environment.get("AWS_REGION") or config.region)
    if isinstance(config.keys, tuple) and config.keys:
        key = config.keys[0]
        return Credentials(key.access_key, key.secret_key.get_secret_value(), config.region)
    if isinstance(config.keys, KeyFile) and config.keys.file.exists():
        return Credentials(*kept_key(config.keys.file), config.region)
    click.echo("there is no key to sign with: start the gateway once, or set AWS_ACCESS_KEY_ID", err=True)
    raise SystemExit(1)
