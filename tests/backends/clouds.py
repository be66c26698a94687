"""Storages of each kind, the clouds behind what takes their place."""

from gateway.backends.gcs import open_gcs
from gateway.backends.local import open_local
from gateway.backends.memory import Memory
from gateway.backends.s3.backend import open_s3
from tests.doubles.gcs import Gcs
from tests.doubles.r2_strict import r2_strict
from tests.server.harness import ACCESS_KEY, SECRET_KEY, serving


async def storage_of(opened, kind, folder):
    """Open a storage: local, gcs, or an S3 server of that dialect. `opened` closes it."""
    if kind == "local":
        return await opened.enter_async_context(open_local("local", folder, fsync=False))
    if kind == "gcs":
        fake = await opened.enter_async_context(Gcs().running())
        return await opened.enter_async_context(open_gcs("gcs", project="acme", endpoint=fake.url))
    return await _s3(opened, kind)


async def _s3(opened, dialect):
    upstream = await opened.enter_async_context(serving(Memory()))
    port = upstream.port
    if dialect == "r2":
        port = await opened.enter_async_context(r2_strict(f"http://127.0.0.1:{port}"))
    settings = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY, "addressing": "path", "region": "us-east-1"}
    storage = open_s3(dialect, endpoint=f"http://127.0.0.1:{port}", dialect=dialect, **settings)
    return await opened.enter_async_context(storage)
