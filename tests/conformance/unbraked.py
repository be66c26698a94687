"""The gateway, with a mirror not alarmed by how much the suite deletes: `python unbraked.py serve --config …`."""

from gateway.cli import main
from gateway.replication import crew
from gateway.replication.rules import Rules

if __name__ == "__main__":
    crew.IDLE = 0.1
    Rules.are_too_many = lambda *_: False  # type: ignore[method-assign]  deletes by the thousand are meant
    main()
