"""Buckets that are kept on several storages, as one `Backend`."""

from gateway.routing.replicated.completing import Completing
from gateway.routing.replicated.listing import Listing
from gateway.routing.replicated.route import Storages

__all__ = ["Replicated", "Storages"]


class Replicated(Completing, Listing):
    """A `Backend` whose objects are on a primary, on a fallback while that is down, and on mirrors.

    The rules by which one is chosen are methods of their own; each has a test that fails without it.
    """
