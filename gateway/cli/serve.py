"""`gateway serve`: the server."""

import mmap
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from socket import socket

import click

from gateway.cli.configured import config_file, config_option
from gateway.config import Config
from gateway.config.keyfile import KeyFileError, kept_key
from gateway.config.models import KeyFile
from gateway.server.bind import StartError, bind


@click.command()
@config_option
def command(config: Config) -> None:
    """Serve S3 until told to stop."""
    try:
        sockets = bind("listen", *config.listen)
        admin = bind("admin", *config.admin) if config.admin else []
        access = _access(config, sockets[0])
        ready = Once(lambda: click.echo(access))
        with _shared_metrics(config) as shared:
            from gateway.app import run  # noqa: PLC0415  the metrics look for their folder when they are imported

            raise SystemExit(run(config, sockets, admin, shared=shared, file=config_file(), ready=ready))
    except (StartError, KeyFileError) as error:
        click.echo(str(error), err=True)
        raise SystemExit(1) from error


class Once:
    """Does something the first time it is called, in whatever process: workers are forked, and started again."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work, self._done = work, mmap.mmap(-1, 1)

    def __call__(self) -> None:
        """Do it, if nobody has."""
        if not self._done[0]:
            self._done[0] = 1
            self._work()


@contextmanager
def _shared_metrics(config: Config) -> Iterator[str]:
    """Give the metrics of several processes a folder to meet in; it has to be named before they are imported."""
    if config.is_one_process:
        yield ""
        return
    shared = tempfile.mkdtemp(prefix="gateway-metrics-")
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = shared
    try:
        yield shared
    finally:
        shutil.rmtree(shared, ignore_errors=True)


def _access(config: Config, sock: socket) -> str:
    """Return what clients need, ready to be pasted into a shell, where the key was not given by the configuration.

    Raises: KeyFileError.
    """
    host, port = sock.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    lines = [f"export AWS_ENDPOINT_URL={'https' if config.tls else 'http'}://{host}:{port}"]
    if isinstance(config.keys, KeyFile):
        access_key, secret_key = kept_key(config.keys.file)
        lines = [f"export AWS_ACCESS_KEY_ID={access_key}", f"export AWS_SECRET_ACCESS_KEY={secret_key}", *lines]
    return "\n".join([*lines, f"export AWS_REGION={config.region} AWS_DEFAULT_REGION={config.region}"])
