"""What several promises are tried on: a worker that is killed again and again under load."""

import pytest
import pytest_asyncio

from harness.broker import Broker, leave_out_unless_real
from harness.kill_run import Aftermath, run_with_kills
from harness.reaper import Reaper
from harness.stage import set_stage


@pytest_asyncio.fixture(scope="session", loop_scope="session", params=["exactly_once", "at_least_once"])
async def kill_run(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    session_broker: Broker,
    worker_environment: dict[str, str],
    reaper: Reaper,
) -> Aftermath:
    """What a worker left behind that was killed --kills times in mid-work; once for each way of delivery."""
    leave_out_unless_real(session_broker)
    kills = request.config.getoption("--kills")
    stage = await set_stage(
        session_broker,
        partitions=4,
        environment=worker_environment,
        directory=tmp_path_factory.mktemp("kills"),
        reaper=reaper,
        logs={},
    )
    try:
        aftermath = await run_with_kills(
            stage, delivery=request.param, kills=kills, seed=request.config.getoption("--seed")
        )
    except AssertionError as error:
        for worker in stage.workers:
            error.add_note(f"worker {worker.pid}:\n{worker.log(last_lines=20)}")
        raise
    finally:
        stage.end()
    print(aftermath.report())
    return aftermath
