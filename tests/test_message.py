import pytest

from gateway.errors import AccessDenied
from gateway.storage import Address
from tests.operations.calls import call, denying


async def test_nothing_is_allowed_before_it_is_known_who_may_allow_it():
    asking = call("GET", "/bucket/key")
    asking.authorize = None
    with pytest.raises(AccessDenied):
        await asking.require("read", asking.address)


async def test_require_asks_whoever_authorizes():
    asked = []
    asking = call("GET", "/bucket/key", authorize=denying("other", asked=asked))
    await asking.require("read", asking.address)
    with pytest.raises(AccessDenied):
        await asking.require("delete", Address("bucket", "other"))
    assert asked == [("read", Address("bucket", "key")), ("delete", Address("bucket", "other"))]
