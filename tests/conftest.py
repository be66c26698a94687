"""What all tests share."""

import pytest

pytest.register_assert_rewrite("tests.backends")  # the promises are imported, so pytest does not find them itself
