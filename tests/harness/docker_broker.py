"""Apache Kafka in a container, by testcontainers."""

import gc
import warnings

import docker
import requests
from docker import DockerClient
from docker.errors import DockerException
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

from harness.broker import KAFKA_VERSION, BrokerMissingError, await_answer, free_port, node_settings
from harness.reaper import Reaper

IMAGE = f"apache/kafka:{KAFKA_VERSION}"
# The host's name inside of Docker, and where containers reach it.
NAME = "kafka"
INSIDE = f"{NAME}:9094"


class DockerBroker:
    """The official image of Apache Kafka, with one listener for the host, and one for itself and other containers."""

    kind = "docker"
    real = True
    can_restart = True

    def __init__(self, reaper: Reaper) -> None:
        """Starts it; BrokerMissingError where no engine answers or the image cannot be had."""
        _ensure_image()
        # The reaper of testcontainers is an image that not everybody can pull; ours is a process.
        testcontainers_config.ryuk_disabled = True
        self._reaper = reaper
        port = free_port()
        self._container = DockerContainer(IMAGE).with_bind_ports(9092, port).with_kwargs(hostname=NAME)
        host = self._container.get_docker_client().host()
        self.bootstrap_servers = f"{host}:{port}"
        for name, value in node_settings(
            listeners="CLIENTS://:9092,BROKER://:9094,CONTROLLER://localhost:9093",
            advertised=f"CLIENTS://{self.bootstrap_servers},BROKER://{INSIDE}",
            controller="localhost:9093",
        ).items():
            self._container.with_env("KAFKA_" + name.upper().replace(".", "_"), value)
        self._container.with_env("KAFKA_HEAP_OPTS", "-Xms256m -Xmx512m")
        self._container.waiting_for(LogMessageWaitStrategy("Kafka Server started").with_startup_timeout(90))
        try:
            self._container.__enter__()
        except (RuntimeError, TimeoutError) as error:  # it removes the container itself
            message = f"a container of {IMAGE} does not start"
            raise BrokerMissingError(message) from error
        self.container_id = self._container.get_container_id()
        reaper.watch("container", self.container_id)
        await_answer(self.bootstrap_servers, within_seconds=30)

    def describe(self) -> str:
        """For people: what it is and where."""
        return f"Apache Kafka {KAFKA_VERSION} in Docker, on {self.bootstrap_servers}"

    def is_up(self) -> bool:
        """Whether it runs."""
        container = self._container.get_wrapped_container()
        container.reload()
        return bool(container.status == "running")

    def stop(self, *, gracefully: bool = True) -> None:
        """Takes it down, by SIGKILL unless *gracefully*; address and data stay for the next start()."""
        container = self._container.get_wrapped_container()
        if gracefully:
            container.stop(timeout=20)
        else:
            container.kill()
            container.wait(timeout=20)

    def start(self) -> None:
        """Brings it up again, with the data it had; returns when it answers."""
        self._container.get_wrapped_container().start()
        await_answer(self.bootstrap_servers, within_seconds=60)

    def close(self) -> None:
        """Ends it for good and removes its data."""
        self._container.__exit__(None, None, None)
        self._reaper.forget("container", self.container_id)


def _ensure_image() -> None:
    client = _engine()
    if client is None:
        message = "no Docker engine answers"
        raise BrokerMissingError(message)
    try:
        if not client.images.list(name=IMAGE):
            client.api.timeout = 120  # without a byte
            client.images.pull(IMAGE)
    except (DockerException, requests.RequestException) as error:
        message = f"Docker has no image {IMAGE} and cannot pull it"
        raise BrokerMissingError(message) from error
    finally:
        client.close()


def _engine() -> DockerClient | None:
    with warnings.catch_warnings():
        # Where nobody answers, the library leaves its socket to the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            return docker.from_env(timeout=10)
        except (DockerException, requests.RequestException):
            pass
        gc.collect()
    return None
