"""The examples of the documents are run as they stand, on the topics of a test, with a real worker behind them."""

import asyncio
import os
import re
import shlex
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from harness.commands import cloud_event, command
from harness.markdown import ROOT, Block, Document
from harness.polling import eventually
from harness.process import ManagedProcess
from harness.reaper import Reaper
from harness.stage import Stage
from harness.topics import Topics
from worker.demo.upstream import customer_id_for

CUSTOMER = customer_id_for(1)
FINISHED_SECONDS = 60.0


def examples(pattern: str, *names: str) -> list["pytest.ParameterSet"]:
    """The Python examples of these documents in which *pattern* is found."""
    found = [block for name in names for block in Document(ROOT / name).blocks("python")]
    return [pytest.param(block, id=block.place) for block in found if re.search(pattern, block.code)]


@dataclass(frozen=True, slots=True)
class Examples:
    """Runs examples on the topics of a test."""

    stage: Stage
    directory: Path
    reaper: Reaper

    def start(self, block: Block, *arguments: str) -> ManagedProcess:
        """A process of *block*, in which only the addresses are exchanged."""
        script = self.directory / f"{re.sub(r'[^a-z0-9]', '_', block.place.lower())}.py"
        script.write_text(on(self.stage.topics, block.code), encoding="utf-8")
        return self._start([sys.executable, "-u", str(script), *arguments], script.with_suffix(".log"))

    async def run(self, block: Block, *arguments: str) -> str:
        """What *block* prints until its end, which must be a good one."""
        output, exit_code = await self._finish(self.start(block, *arguments))
        assert exit_code == 0, output
        return output

    async def command_line(self, line: str) -> tuple[str, int]:
        """What a line of `customer-sync` prints, and its exit code."""
        words = shlex.split(line)
        log = self.directory / f"line-{len(list(self.directory.iterdir()))}.log"
        return await self._finish(self._start([sys.executable, "-m", "worker", *words[1:]], log))

    def _start(self, arguments: list[str], log: Path) -> ManagedProcess:
        environment = {"PATH": os.defpath, **self.stage.topics.environment()}
        return ManagedProcess(arguments, log=log, reaper=self.reaper, environment=environment)

    @staticmethod
    async def _finish(process: ManagedProcess) -> tuple[str, int]:
        exit_code = await asyncio.to_thread(process.wait, FINISHED_SECONDS)
        return process.output(), exit_code


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def examples_on_stage(
    stage: Stage, tmp_path_factory: pytest.TempPathFactory, reaper: Reaper
) -> AsyncIterator[Examples]:
    """One worker for all examples of this file; their customer is known upstream."""
    await stage.upstream.control(generate_customers=2)
    await stage.start_ready_worker()
    yield Examples(stage, tmp_path_factory.mktemp("examples"), reaper)


@pytest.mark.parametrize("block", examples(r"\bProducer\(|AIOKafkaProducer", "README.md", "docs/publishing.md"))
async def test_example_of_a_publisher_is_applied(examples_on_stage: Examples, block: Block) -> None:
    """Its command is found on the partition of its customer, and ends in an event."""
    stage = examples_on_stage.stage
    before = await stage.topics.all_outcomes()
    await examples_on_stage.run(block)
    (outcome,) = [one for one in await stage.topics.read_outcomes(len(before) + 1) if one not in before]
    (worker,) = stage.workers

    assert (outcome.is_event, outcome.customer_id) == (True, CUSTOMER)
    assert await worker.metric("customer_sync_commands_misplaced_total") == 0


@pytest.mark.parametrize("block", examples("AIOKafkaConsumer", "README.md", "docs/subscribing.md"))
async def test_example_of_a_subscriber_prints_each_event(examples_on_stage: Examples, block: Block) -> None:
    """It goes by the command's id."""
    name = f"for-{block.place}"
    await examples_on_stage.stage.topics.publish([command(CUSTOMER, cloud_event(name), city="Ghent")])
    subscriber = examples_on_stage.start(block)

    async def is_printed() -> bool:
        return f"{name} {CUSTOMER}" in subscriber.output()

    try:
        await eventually(is_printed, within_seconds=30, what=f"the event of {name}")
    finally:
        await asyncio.to_thread(subscriber.end)


@pytest.mark.parametrize(
    ("line", "exit_code"),
    [
        pytest.param(line, 1 if "--raw" in line else 0, id=line[:80])
        for name in ("README.md", "docs/publishing.md")
        for block in Document(ROOT / name).blocks("sh")
        for line in block.code.splitlines()
        if line.startswith("customer-sync send")
    ],
)
async def test_example_on_the_command_line_ends_as_it_should(
    examples_on_stage: Examples, line: str, exit_code: int
) -> None:
    """0 where it was published, or became an event; 1 for the one that is broken on purpose."""
    output, ended_with = await examples_on_stage.command_line(line)

    assert ended_with == exit_code, output


def on(topics: Topics, code: str) -> str:
    """*code* with the addresses of a test: a type of CloudEvents is no topic."""
    code = code.replace("localhost:9092", topics.bootstrap_servers)
    code = re.sub(r'(?<!"ce_type": )(?<!b)"customer\.update"', f'"{topics.commands}"', code)
    return code.replace('"customer.updated"', f'"{topics.events}"').replace(
        '"customer.update.dlq"', f'"{topics.dead_letter}"'
    )
