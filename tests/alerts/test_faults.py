"""Every alert has a fault that fires it, and the rules that it is tried on are those that are deployed."""

import yaml

from alerts.__main__ import shortened
from alerts.faults import FAULTS
from harness.prometheus import OBSERVABILITY

RULES = yaml.safe_load((OBSERVABILITY / "rules.yaml").read_text())


def test_every_alert_has_its_fault() -> None:
    """`make alerts` leaves none out."""
    assert set(FAULTS) == {rule["alert"] for group in RULES["groups"] for rule in group["rules"] if "alert" in rule}


def test_shortened_rules_differ_in_nothing_but_durations() -> None:
    """A sixtieth of each; what they compare with stays as it is."""
    rules = {rule["alert"]: rule for group in shortened(RULES)["groups"] for rule in group["rules"] if "alert" in rule}

    assert rules["CustomerSyncBacklog"]["for"] == "30000ms"
    assert "> 6 * 3600" in rules["CustomerSyncBacklog"]["expr"]
    assert "offset 60000ms or" in rules["CustomerSyncCommandsLost"]["expr"]
    assert "[15000ms])) > 0" in rules["CustomerSyncCommandsMisplaced"]["expr"]
    assert rules["CustomerSyncHeld"]["annotations"]["runbook"] == "docs/operating.md#customersyncheld"
