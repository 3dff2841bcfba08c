"""The command line, in an environment without any setting, or pointed at the topics of a test."""

import pytest

from harness.command_line import CommandLine
from harness.topics import Topics


@pytest.fixture
def customer_sync(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> CommandLine:
    """The command line, in an environment without any setting."""
    return CommandLine(monkeypatch, capfd)


@pytest.fixture
def on_topics(customer_sync: CommandLine, topics: Topics) -> CommandLine:
    """The command line, pointed at the topics of the test."""
    customer_sync.give(**topics.environment())
    return customer_sync
