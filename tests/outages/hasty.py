"""The gateway with short pauses, so that an outage and its end take seconds: `python hasty.py serve --config …`."""

from functools import partial

from gateway import routes
from gateway.cli import main
from gateway.replication import baseline, beacon, breaker, crew, measure
from gateway.replication.records import Timing
from gateway.replication.rules import Rules
from gateway.routing import breaking


def hurry() -> None:
    breaker.FIRST_PAUSE, breaker.LONGEST_PAUSE = 0.2, 0.5
    breaking.PROBING, breaking.IDLE = 0.1, 0.5
    baseline.AGAIN = measure.EVERY = beacon.EVERY = beacon.SOON = 0.2
    crew.IDLE = 0.1
    Rules.are_too_many = lambda *_: False  # type: ignore[method-assign]  clients of a test delete thousands of keys
    routes.LEASE_ON_ONE_HOST = 0.8
    routes.Timing = partial(
        Timing,
        lease=0.8,
        poll=0.2,
        node_lease=3.0,
        sweep_every=0.3,
        worker_lease=3.0,
        worker_margin=1.0,
        backoff=0.1,
        backoff_limit=0.5,
        dead_after=0.3,
    )


if __name__ == "__main__":
    hurry()
    main()
