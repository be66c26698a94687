"""Two gateways before one database are restarted one after the other, under load, and no request fails."""

import itertools
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.doubles import postgresql
from tests.faults.proxy import Fault, proxying
from tests.gateway_process import GatewayProcess
from tests.outages.world import BUCKET, World, eventually, outages

ROUNDS = 2
LARGE = 300_000
NETWORK_S = 0.02  # each way: so long a request may be on its way to a gateway that does not know of it
THINKING_S = (0.0, 0.0, 0.02, 0.3, 1.0)  # what the clients wait between two requests: some connections are idle

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(600),
    pytest.mark.skipif(postgresql.programs() is None, reason="there is no PostgreSQL"),
]


class Service:
    """What Kubernetes does before pods: new connections go to those that are ready, old ones stay where they are."""

    def __init__(self, ports: list[int]) -> None:
        self._ports, self._turns = ports, itertools.count()

    def __call__(self) -> int:
        ports = self._ports
        return ports[next(self._turns) % len(ports)]

    def remove(self, port: int) -> None:
        self._ports = [other for other in self._ports if other != port]

    def add(self, port: int) -> None:
        self._ports = [*self._ports, port]


class Load:
    """Clients that repeat nothing, each with connections that it keeps, and every failure that they see."""

    def __init__(self, port: int, like: GatewayProcess) -> None:
        self._target = GatewayProcess(like.folder / "seen", like.access_key, like.secret_key)
        self._target.port = port
        self.failures: list[str] = []
        self.done = [0] * len(THINKING_S)
        self._over = threading.Event()

    @contextmanager
    def running(self) -> Iterator["Load"]:
        threads = [threading.Thread(target=self._work, args=each) for each in enumerate(THINKING_S)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._over.set()
            for thread in threads:
                thread.join()

    def await_more(self) -> None:
        """Return when every client was answered twice more."""
        before = list(self.done)
        eventually(lambda: all(now >= then + 2 for now, then in zip(self.done, before, strict=True)))

    def _work(self, number: int, thinking: float) -> None:
        client, dice = self._target.client(), random.Random(number)
        for turn in itertools.count():
            if self._over.is_set():
                return
            try:
                self._ask(client, f"{number}/{dice.randrange(20)}", turn)
            except Exception as error:  # noqa: BLE001  whatever it is, it is a request that failed
                self.failures.append(f"client {number}, turn {turn}: {error!r}")
            self.done[number] += 1
            self._over.wait(thinking)

    def _ask(self, client, key: str, turn: int) -> None:
        body = f"{key} {turn}".encode()
        match turn % 8:
            case 3:
                at = {"Bucket": BUCKET, "Key": f"{key}/large"}
                upload = client.create_multipart_upload(**at)["UploadId"]
                etag = client.upload_part(**at, UploadId=upload, PartNumber=1, Body=bytes(LARGE))["ETag"]
                parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
                client.complete_multipart_upload(**at, UploadId=upload, MultipartUpload=parts)
            case 5:
                client.delete_object(Bucket=BUCKET, Key=key)
            case 7:
                client.list_objects_v2(Bucket=BUCKET, Prefix=f"{key.partition('/')[0]}/")
            case _:
                client.put_object(Bucket=BUCKET, Key=key, Body=body)
                assert client.get_object(Bucket=BUCKET, Key=key)["Body"].read() == body


@pytest.fixture
def world(tmp_path) -> Iterator[World]:
    with outages(tmp_path, gateways=2, states=[postgresql.server().database()]) as world:
        world.await_baseline()
        yield world


def restart(service: Service, gateway: GatewayProcess) -> None:
    """Do what Kubernetes does: no new connections, a pause (preStop), SIGTERM, and once it is ready again, connections.

    That it is drained is not to take longer than it would be given.
    """
    service.remove(gateway.port)
    time.sleep(0.3)
    began = time.monotonic()
    assert gateway.stop() == 0
    assert time.monotonic() - began < 20
    gateway.start()
    service.add(gateway.port)


def test_a_rolling_restart_under_load_fails_no_request(world):
    service = Service([gateway.port for gateway in world.gateways])
    with proxying(service) as balancer, Load(balancer.port, world.gateway).running() as load:
        balancer.set(Fault(delay=NETWORK_S))
        load.await_more()
        for gateway in [*world.gateways] * ROUNDS:
            restart(service, gateway)
            load.await_more()
            assert load.failures == []
    assert load.failures == []
    assert balancer.proxy.accepted > len(THINKING_S)  # the connections were others in the end
    world.await_settled()
    assert world.stored("primary") == world.stored("mirror")
    assert world.mode() == "NORMAL"
