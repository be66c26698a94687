"""What every operation is given beside the call."""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.cors import Cors
from gateway.storage import Backend


@dataclass(frozen=True, slots=True)
class Service:
    """The gateway as an operation sees it: one storage and a few facts."""

    storage: Backend
    region: str
    keeps_acls: Callable[[str], bool] = lambda _bucket: False  # `acls: canned` of that bucket; else BucketOwnerEnforced
    cors: Callable[[str], Cors | None] = lambda _bucket: None  # what pages of other origins may ask of that bucket
