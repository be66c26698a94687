"""What the start costs: libraries that nothing configured needs are not loaded."""

import subprocess
import sys

HEAVY = {"PIL", "aiobotocore", "alembic", "asyncpg", "botocore", "gcloud", "google", "opentelemetry", "sqlalchemy"}


def test_serving_from_a_disk_loads_no_library_of_clouds_databases_or_images(tmp_path):
    program = f"""
import asyncio, sys
from gateway.app import build
from gateway.config import Config

async def start():
    config = Config.model_validate({{
        "backends": {{"disk": {{"type": "local", "path": {str(tmp_path)!r}}}}},
        "buckets": {{"*": {{"backend": "disk"}}}},
        "keys": {{"file": {str(tmp_path / "keys")!r}}},
    }})
    async with build(config):
        print(*sys.modules)

asyncio.run(start())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "gateway" in loaded
    assert not loaded & HEAVY
