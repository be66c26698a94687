"""Where a bucket of the gateway lies at its backend."""

from typing import NamedTuple

from gateway.storage import Address


class Place(NamedTuple):
    """A bucket at the backend, and what all keys of the gateway's bucket begin with there."""

    bucket: str
    prefix: str = ""

    def address(self, at: Address) -> Address:
        """Return where an object lies, or the bucket itself where no key is given."""
        return at._replace(bucket=self.bucket, key=at.key and self.prefix + at.key)

    def key(self, upstream: str) -> str:
        """Return the key under which clients know an object."""
        return upstream[len(self.prefix) :]
