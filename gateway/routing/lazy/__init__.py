"""Buckets that move from one storage to another while they are used, as one `Backend`."""

from gateway.routing.lazy.moving import Storages
from gateway.routing.lazy.uploads import Uploads

__all__ = ["Lazy", "Storages"]


class Lazy(Uploads):
    """A `Backend` whose objects are on a new storage, or still on an old one, which is never written.

    What clients write lies on the new one only. What only the old one has is read from there, and copied meanwhile;
    what clients delete is buried first, so that it never comes back. The rules are methods of their own; each has a
    test that fails without it.
    """
