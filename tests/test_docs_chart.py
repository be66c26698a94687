"""helm/gateway/values.schema.json says what the models say."""

import json

from tests.deploy.values_schema import SCHEMA, config


def test_the_schema_of_the_chart_knows_each_key_of_the_configuration():
    assert json.loads(SCHEMA.read_text())["definitions"]["config"] == config(), "run make docs"
