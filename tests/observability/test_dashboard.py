"""The Grafana dashboard: it is what its code makes, fits Grafana's schema, and each of its queries has an answer."""

import json
import subprocess
import sys
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from harness.builders import customer_id
from harness.commands import command, full_customer
from harness.polling import eventually
from harness.prometheus import OBSERVABILITY, Prometheus
from harness.reaper import Reaper
from harness.stage import Stage
from harness.topics import Message

BOARD: dict[str, Any] = json.loads((OBSERVABILITY / "dashboard.json").read_text())
QUERIES = [
    pytest.param(target["expr"], id=f"{panel['title']} {target['refId']}")
    for panel in BOARD["panels"]
    for target in panel.get("targets", [])
]


def test_dashboard_is_what_its_code_makes() -> None:
    """`make docs` renews it."""
    made = subprocess.run(
        [sys.executable, OBSERVABILITY / "dashboard.py"], capture_output=True, check=True, text=True
    ).stdout

    assert made == (OBSERVABILITY / "dashboard.json").read_text()


def test_dashboard_fits_grafana_s_schema() -> None:
    """Read into Grafana's own types and written again, nothing is left over and nothing is missing."""
    read = Dashboard.from_json(BOARD)

    assert json.loads(JSONEncoder().encode(read)) == BOARD
    ids = [panel["title"] for panel in BOARD["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in BOARD["panels"]:
        letters = [target["refId"] for target in panel.get("targets", [])]
        assert len(set(letters)) == len(letters)


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory, reaper: Reaper) -> Any:  # noqa: ANN401  # a generator of one
    """One that knows the rules."""
    rules = yaml.safe_load((OBSERVABILITY / "rules.yaml").read_text())
    server = Prometheus(directory=tmp_path_factory.mktemp("prometheus"), reaper=reaper, rules=rules)
    yield server
    server.end()


@pytest.mark.real_kafka
async def test_every_query_is_answered_from_a_real_worker(
    stage: Stage, prometheus: Prometheus, capsys: pytest.CaptureFixture[str]
) -> None:
    """By a Prometheus that scrapes it, also where nothing has happened yet; and so is every rule."""
    worker = await stage.start_ready_worker()
    prometheus.scrape("customer-sync", [worker.port])
    await stage.upstream.control(customers=[full_customer(customer_id(n), str(n)) for n in range(20)])
    for note in range(4):
        await stage.topics.publish([command(customer_id(n), note=str(note)) for n in range(20)])
    await stage.topics.publish([Message(customer_id(0), b"{")])
    await stage.topics.read_outcomes(81, within_seconds=60)

    async def seen() -> bool:
        # Whatever is settled before the first scrape is no increase.
        await stage.topics.publish([command(customer_id(1), note="one more")])
        found = await prometheus.query("sum(increase(customer_sync_outcomes_total[1m])) >= 1")
        return bool(found)

    await eventually(seen, within_seconds=60, what="Prometheus has scraped twice")
    unanswered = []
    for parameter in QUERIES:
        (query,) = parameter.values
        asked = str(query).replace("$job", "customer-sync").replace("$__rate_interval", "30s")
        if not await prometheus.query(asked):
            unanswered.append(asked)

    assert unanswered == []
    with capsys.disabled():
        print(f"\n{len(QUERIES)} queries of {len(BOARD['panels'])} panels answered, 0 not")
