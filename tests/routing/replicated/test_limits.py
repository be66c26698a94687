"""What the configuration says of copying holds for each storage that is copied to."""

import asyncio

from prometheus_client import REGISTRY

from gateway.backends.memory import Memory
from gateway.config import Config
from gateway.rates import Ledger
from gateway.routes import replicated_routes
from gateway.sharing import Sharing

PLACES = ("disk", "spare", "copy")


def at_once(target):
    return REGISTRY.get_sample_value("gateway_copying_at_once", {"route": "limited", "target": target})


def config(folder, healing, limits):
    return Config.model_validate(
        {
            "backends": {name: {"type": "local", "path": str(folder / name)} for name in PLACES},
            "buckets": {
                "limited": {
                    "backend": "disk",
                    "fallback": "spare",
                    "healing": healing,
                    "mirrors": [{"backend": "copy", "limits": limits}],
                }
            },
            "state": f"sqlite:///{folder}/state.db",
        }
    )


async def test_each_storage_is_given_as_much_at_once_as_the_configuration_says(tmp_path):
    backends = {name: Memory(name) for name in PLACES}
    said = config(tmp_path, {"concurrency": 3}, {"concurrency": 64, "rate": 7})
    async with replicated_routes(said, backends, 0, Sharing(), ledger=Ledger()):
        await asyncio.sleep(0)  # let the work begin
        assert (at_once("disk"), at_once("copy")) == (3, 7)
    assert (at_once("disk"), at_once("copy")) == (0, 0)


async def test_a_new_configuration_holds_at_once_and_the_old_one_is_forgotten(tmp_path):
    backends, sharing, ledger = {name: Memory(name) for name in PLACES}, Sharing(), Ledger()
    old, new = config(tmp_path, {}, {}), config(tmp_path, {"bandwidth": "1MiB"}, {"concurrency": 5})
    async with replicated_routes(new, backends, 0, sharing, ledger=ledger):
        async with replicated_routes(old, backends, 0, sharing, ledger=ledger):
            await asyncio.sleep(0)
            assert (at_once("disk"), at_once("copy")) == (4 + 32, 5 + 32)
        assert (at_once("disk"), at_once("copy")) == (4, 5)
