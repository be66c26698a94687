"""The rules are sound, and each alert is seen to fire when it should."""

import yaml

from tests.deploy.tools import DEPLOY, run

PROMETHEUS = DEPLOY / "prometheus"
RULES = sorted(PROMETHEUS.glob("*.rules.yml"))
TESTS = sorted((PROMETHEUS / "tests").glob("*.test.yml"))


def test_the_configuration_and_the_rules_it_names_are_valid():
    assert f"{len(RULES)} rule files found" in run("promtool", "check", "config", PROMETHEUS / "prometheus.yml")


def test_the_alerts_fire_when_they_should_and_are_silent_else():
    run("promtool", "test", "rules", *TESTS)


def test_every_alert_is_seen_to_fire_and_to_be_silent():
    rules = [rule for path in RULES for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]
    alerts = {rule["alert"] for rule in rules if "alert" in rule}
    asked = [
        (one["alertname"], bool(one.get("exp_alerts")))
        for path in TESTS
        for case in yaml.safe_load(path.read_text())["tests"]
        for one in case["alert_rule_test"]
    ]
    assert {name for name, fires in asked if fires} == alerts
    assert {name for name, fires in asked if not fires} == alerts


def test_an_alert_that_does_not_fire_is_noticed(tmp_path):
    for path in (*RULES, *TESTS):
        copy = tmp_path / path.relative_to(PROMETHEUS)
        copy.parent.mkdir(exist_ok=True)
        copy.write_text(path.read_text().replace('up{job="gateway"} == 0', 'up{job="gateway"} == 2'))
    run("promtool", "test", "rules", *sorted((tmp_path / "tests").glob("*")), status=1)
