"""A rolling update in the cluster: three pods of the built image, as the manifests set them, replaced under load."""

import asyncio

import pytest

from harness.broker import Broker
from harness.docker_broker import DockerBroker
from harness.reaper import Reaper
from rollout.trial import try_rollout

COMMANDS_PER_SECOND = 300
# On a machine that does other work besides; `make rollout` judges by three.
LONGEST_SECONDS = 6.0
DEADLINE_SECONDS = 240.0


@pytest.mark.chaos
@pytest.mark.real_kafka
async def test_a_rolling_update_under_load_costs_nobody_more_than_moments(broker: Broker, reaper: Reaper) -> None:
    """Nothing is lost, twice or out of order, no pod is killed or restarted, and no command waits for long."""
    if not isinstance(broker, DockerBroker):
        pytest.skip(f"needs Docker, and this is {broker.describe()}")

    async with asyncio.timeout(DEADLINE_SECONDS):
        trial = await try_rollout(broker, reaper, per_second=COMMANDS_PER_SECOND)

    print(trial.report())
    assert {what: number for what, number in trial.faults().items() if number} == {}
    assert trial.longest_seconds() <= LONGEST_SECONDS
