"""The rules for Prometheus: what they name exists, what they watch for is tested, and each alert has its runbook."""

import re
from typing import Any

import pytest
import yaml

from harness.markdown import ROOT, Document
from harness.prometheus import OBSERVABILITY, promtool
from worker.telemetry.catalogue import DECLARATIONS, Kind

RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((OBSERVABILITY / "rules.yaml").read_text())["groups"] for rule in group["rules"]
]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RECORDED = {rule["record"] for rule in RULES if "record" in rule}
TESTS: list[dict[str, Any]] = yaml.safe_load((OBSERVABILITY / "rules_test.yaml").read_text())["tests"]


def known_series() -> set[str]:
    """Every name that a selector may have."""
    names = {declared.name for declared in DECLARATIONS if declared.kind is not Kind.HISTOGRAM}
    for declared in DECLARATIONS:
        if declared.kind is Kind.HISTOGRAM:
            names |= {f"{declared.name}_{part}" for part in ("bucket", "sum", "count")}
    return names | RECORDED


def test_rules_are_as_promtool_wants_them() -> None:
    """Their syntax, and that of what they compute."""
    assert "rules found" in promtool("check", "rules", "rules.yaml")


def test_every_alert_fires_on_what_it_is_for_and_on_nothing_near_it() -> None:
    """The unit tests of the rules."""
    assert "SUCCESS" in promtool("test", "rules", "rules_test.yaml")


@pytest.mark.parametrize("alert", ALERTS)
def test_alert_has_a_test_that_fires_it_and_one_that_does_not(alert: str) -> None:
    """Both are named after it."""
    expected = [
        bool(case["exp_alerts"])
        for test in TESTS
        for case in test["alert_rule_test"]
        if case["alertname"] == alert and test["name"].startswith(alert)
    ]

    assert set(expected) == {False, True}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_rule_asks_for_series_that_there_are(rule: dict[str, Any]) -> None:
    """A typing error would make an alert that never fires. This needs no Prometheus."""
    named = set(re.findall(r"(?:job:)?customer_sync_\w+(?::\w+)?", rule["expr"]))

    assert named <= known_series()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_rule_asks_for_labels_and_values_that_there_are(rule: dict[str, Any]) -> None:
    """As the catalogue has them."""
    values = {label.name: set(label.values) for declared in DECLARATIONS for label in declared.labels if label.values}
    for label, value in re.findall(r'(\w+)=~?"([^"]*)"', rule["expr"]):
        if label != "job":
            assert set(value.split("|")) <= values[label]


@pytest.mark.parametrize("alert", ALERTS)
def test_alert_has_a_runbook(alert: str) -> None:
    """What it means, where to look, what to do: under its name in docs/operating.md."""
    rule = ALERTS[alert]
    text = (ROOT / "docs" / "operating.md").read_text()
    section = re.search(rf"^### {alert}\n(.+?)^##", text, re.MULTILINE | re.DOTALL)

    assert section is not None
    assert re.findall(r"\*\*(\w+):\*\*", section[1]) == ["Means", "Look", "Do"]
    assert rule["annotations"]["runbook"] == f"docs/operating.md#{alert.lower()}"
    assert alert.lower() in Document(ROOT / "docs" / "operating.md").anchors()
    assert rule["labels"]["severity"] in {"critical", "warning"}


def test_every_runbook_has_its_alert() -> None:
    """None is left of an alert that is gone."""
    found = re.findall(r"^### (CustomerSync\w+)$", (ROOT / "docs" / "operating.md").read_text(), re.MULTILINE)

    assert found == list(ALERTS)
