"""Apache Kafka as a process: its own jars, fetched by Maven, on the Java that is there."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from harness.broker import KAFKA_VERSION, BrokerMissingError, await_answer, free_port, node_settings
from harness.process import ManagedProcess
from harness.reaper import Reaper

PROJECT = Path(__file__).resolve().parents[2]
POM = Path(__file__).with_name("kafka") / "pom.xml"
JARS = PROJECT / ".artifacts" / f"kafka-{KAFKA_VERSION}"
OLDEST_JAVA = 17


class JavaBroker:
    """A single node in KRaft mode on free ports, its data in a directory of its own."""

    kind = "java"
    real = True
    can_restart = True

    def __init__(self, reaper: Reaper) -> None:
        """Starts it; BrokerMissingError without Java 17 and Maven, or where Maven cannot fetch the jars."""
        self._java = _java()
        _ensure_jars()
        self._reaper = reaper
        self._home = Path(tempfile.mkdtemp(prefix="customer-sync-kafka-"))
        reaper.watch("directory", self._home)
        clients, broker, controller = free_port(), free_port(), free_port()
        self.bootstrap_servers = f"127.0.0.1:{clients}"
        settings = node_settings(
            listeners=f"CLIENTS://127.0.0.1:{clients},BROKER://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}",
            advertised=f"CLIENTS://127.0.0.1:{clients},BROKER://127.0.0.1:{broker}",
            controller=f"127.0.0.1:{controller}",
        )
        self._properties = self._home / "server.properties"
        lines = [f"{name}={value}" for name, value in {**settings, "log.dirs": f"{self._home}/data"}.items()]
        self._properties.write_text("\n".join(lines), encoding="utf-8")
        format_storage = ["format", "--cluster-id", "5L6g3nShT-eMCtK--X86sw", "--config", str(self._properties)]
        subprocess.run(
            [*self._command("-Xmx64m"), "kafka.tools.StorageTool", *format_storage], check=True, capture_output=True
        )
        self.start()

    def describe(self) -> str:
        """For people: what it is and where."""
        return f"Apache Kafka {KAFKA_VERSION} on Java, on {self.bootstrap_servers}"

    def is_up(self) -> bool:
        """Whether it runs."""
        return self._process.returncode is None

    def stop(self, *, gracefully: bool = True) -> None:
        """Takes it down, by SIGKILL unless *gracefully*; address and data stay for the next start()."""
        if gracefully:
            self._process.end(grace_seconds=30)
        else:
            self._process.kill()

    def start(self) -> None:
        """Brings it up again, with the data it had; returns when it answers."""
        self._process = ManagedProcess(
            [*self._command("-Xms256m", "-Xmx512m"), "kafka.Kafka", str(self._properties)],
            log=self._home / "kafka.log",
            reaper=self._reaper,
        )
        with self._process.starting():
            await_answer(self.bootstrap_servers, within_seconds=60)

    def close(self) -> None:
        """Ends it for good and removes its data."""
        self._process.kill()
        shutil.rmtree(self._home)
        self._reaper.forget("directory", self._home)

    def _command(self, *options: str) -> list[str]:
        quick_to_start = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        logging = f"-Dlog4j2.configurationFile={POM.with_name('log4j2.xml')}"
        return [self._java, *options, *quick_to_start, logging, "-cp", f"{JARS}/*"]


def _java() -> str:
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin") if home else None
    java = java or shutil.which("java")
    if java is None:
        message = "no Java"
        raise BrokerMissingError(message)
    # A Mac without Java has a `java` that only says so, and fails.
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    version = re.search(r'version "(?:1\.)?(\d+)', said.stderr)
    if said.returncode or version is None:
        message = "no Java"
        raise BrokerMissingError(message)
    if int(version[1]) < OLDEST_JAVA:
        message = f"Java {version[1]}, but Kafka {KAFKA_VERSION} needs {OLDEST_JAVA}"
        raise BrokerMissingError(message)
    return java


def _ensure_jars() -> None:
    if JARS.is_dir():
        return
    maven = shutil.which("mvn")
    if maven is None:
        message = "Java, but no Maven to fetch Kafka with"
        raise BrokerMissingError(message)
    JARS.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=JARS.parent) as fetched:
        done = subprocess.run(
            [
                *(maven, "--quiet", "--batch-mode", "--file", str(POM), f"-Dkafka.version={KAFKA_VERSION}"),
                *("dependency:copy-dependencies", f"-DoutputDirectory={fetched}/jars", f"-DbuildDirectory={fetched}"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            message = "Maven could not fetch Kafka's jars"
            error = BrokerMissingError(message)
            error.add_note(done.stdout[-2000:])
            raise error
        (Path(fetched) / "jars").replace(JARS)
