"""docs/metrics.md says what the code and the rules say."""

from tests.deploy.metrics_page import PAGE, described, page


def test_the_page_is_what_the_code_says():
    assert PAGE.read_text() == page(), "run make docs"


def test_no_metric_is_left_out():
    text = PAGE.read_text()
    assert len(list(described())) > 10
    assert all(f"`{metric._name}" in text for metric in described())
