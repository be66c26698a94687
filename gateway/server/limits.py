"""How much of the server one client may use, and for how long."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes, times in seconds."""

    request_line: int = 16 * 1024
    headers: int = 16 * 1024  # all of them together
    header_count: int = 100
    header_timeout: float = 15.0  # from the first byte of a request to the end of its headers
    idle_timeout: float = 75.0  # between two requests; longer than the 60 s of common load balancers
    stall_timeout: float = 30.0  # without a byte of a body coming in, or of an answer going out
    body_rate: int = 256  # bytes a second that a body has to come in with, once it was waited for as long as for one
    unread: int = 1024 * 1024  # how much of a body nobody wants is read to keep a connection
    linger: float = 1.0  # how long a connection that is given up waits for its client to notice
    connections: int = 10_000  # at once, per worker

    @property
    def shortest(self) -> float:
        """The time after which a deadline may have passed."""
        return min(self.header_timeout, self.idle_timeout, self.stall_timeout, self.linger)
