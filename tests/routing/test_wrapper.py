import inspect

import pytest

from gateway.backends.memory import Memory
from gateway.routing.rename import Rename
from gateway.routing.router import Router
from gateway.routing.wrapper import Wrapper
from gateway.storage import Backend
from tests.backends.contract import BackendContract

METHODS = {name: member for name, member in vars(Backend).items() if inspect.isfunction(member) and name[0] != "_"}


class TestWrapper(BackendContract):
    @pytest.fixture
    async def storage(self):
        return Wrapper(Wrapper(Memory()))


@pytest.mark.parametrize("kind", [Wrapper, Rename, Router, Memory])
@pytest.mark.parametrize("name", [name for name in METHODS if name != "__init__"])
def test_no_method_of_a_backend_is_missing(kind, name):
    own = inspect.signature(vars(kind)[name])
    promised = inspect.signature(METHODS[name])
    assert list(own.parameters.values()) == list(promised.parameters.values())


def test_there_are_methods_to_compare():
    assert len(METHODS) == 18


def test_a_wrapper_has_the_name_of_what_it_wraps():
    assert Wrapper(Memory("here")).name == "here"
