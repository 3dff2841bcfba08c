"""Who is measured: the worker in some settings, and other ways to do the same job."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
PARALLEL_CONSUMER = HERE / "peers" / "parallel_consumer"
OLDEST_JAVA = 17


@dataclass(frozen=True, slots=True)
class Contestant:
    """A program that settles commands; told where by the same environment variables as the worker.

    *most_commands* bounds the load of one that would take all day.
    """

    name: str
    meaning: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    warm_up_commands: int = 2_000
    most_commands: int | None = None
    is_worker: bool = False


def _worker(name: str, meaning: str, **environment: str) -> Contestant:
    return Contestant(name, meaning, [sys.executable, "-m", "worker", "run"], environment, is_worker=True)


def _peer(name: str, meaning: str, **limits: int) -> Contestant:
    return Contestant(name, meaning, [sys.executable, str(HERE / "peers" / f"{name}_worker.py")], **limits)


CONTESTANTS = {
    contestant.name: contestant
    for contestant in (
        _worker("worker", "this worker, exactly once"),
        _worker("no-coalescing", "with COALESCE=false", COALESCE="false"),
        _worker("at-least-once", "with DELIVERY=at_least_once", DELIVERY="at_least_once"),
        _worker("log-info", "with LOG_LEVEL=info", LOG_LEVEL="info"),
        _worker(
            "traced-1-percent",
            "with 1 % of the commands traced",
            OTEL_SDK_DISABLED="false",
            OTEL_TRACES_SAMPLER="parentbased_traceidratio",
            OTEL_TRACES_SAMPLER_ARG="0.01",
        ),
        _worker("traced", "with every command traced", OTEL_SDK_DISABLED="false"),
        _peer("aiokafka", "an aiokafka loop grouped by key, at least once"),
        _peer(
            "faststream",
            "a plain FastStream subscriber, one command after the other, at least once",
            warm_up_commands=50,
            most_commands=300,
        ),
        Contestant(
            "parallel-consumer",
            "Confluent Parallel Consumer with Vert.x, ordered by key, at least once",
            ["java", "-Xmx512m", "-jar", str(PARALLEL_CONSUMER / "target" / "peer.jar")],
            warm_up_commands=10_000,
        ),
    )
}


def build_java_peer() -> str | None:
    """Builds the Java peer, or says why it is left out."""
    java, maven = shutil.which("java"), shutil.which("mvn")
    if java is None or maven is None:
        return "Java or Maven is not installed"
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    version = said.partition('version "')[2].partition(".")[0]
    if not version.isdecimal() or int(version) < OLDEST_JAVA:
        return f"Java {version or 'of unknown version'} is older than {OLDEST_JAVA}"
    build = subprocess.run(
        [maven, "--quiet", "--batch-mode", "package"],
        cwd=PARALLEL_CONSUMER,
        capture_output=True,
        text=True,
        check=False,
    )
    return None if build.returncode == 0 else f"Maven failed: {build.stdout.strip().splitlines()[:3]}"


def environment_of(contestant: Contestant, shared: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of its process."""
    inherited = {
        name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG", "JAVA_HOME") if name in os.environ
    }
    return {**inherited, **shared, **contestant.environment}
