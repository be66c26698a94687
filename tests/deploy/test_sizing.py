"""docs/sizing.md says what docs/performance.md measured."""

from tests.deploy.sizing_page import PAGE, page


def test_the_page_is_what_was_measured():
    assert PAGE.read_text() == page(), "run make docs"
