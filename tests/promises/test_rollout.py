"""A rolling update in the cluster: three pods of the built image, as the manifests set them, replaced under load."""

import pytest

from harness.broker import Broker
from harness.docker_broker import DockerBroker
from harness.judging import lost, out_of_order, repeated, surprises
from harness.reaper import Reaper
from rollout.trial import try_rollout

COMMANDS_PER_SECOND = 300
LONGEST_SECONDS = 3.0


@pytest.mark.real_kafka
async def test_a_rolling_update_under_load_costs_nobody_more_than_moments(broker: Broker, reaper: Reaper) -> None:
    """Nothing is lost, twice or out of order, no pod is killed or restarted, and no command waits for long."""
    if not isinstance(broker, DockerBroker):
        pytest.skip(f"needs Docker, and this is {broker.describe()}")

    trial = await try_rollout(broker, reaper, per_second=COMMANDS_PER_SECOND)

    print(trial.report())
    published = trial.load.published
    assert lost(published, trial.outcomes) == []
    assert repeated(trial.outcomes) == {}
    assert out_of_order(trial.outcomes) == []
    assert surprises(published, trial.outcomes) == []
    assert (trial.moved_back, trial.requests_overlapping) == (0, 0)
    assert [pod.name for pod in trial.pods if pod.course.exit_code != 0 or pod.course.restarts] == []
    assert trial.longest_seconds() <= LONGEST_SECONDS
