"""What pods find around them: Kafka, the upstream, and what is mounted into them."""

import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath

from docker import DockerClient
from docker.models.containers import Container

from harness.polling import wait_until
from harness.reaper import Reaper
from harness.upstream_process import UpstreamControl
from rollout.pod_template import PodTemplate, SecretFile

UPSTREAM_PORT = 8081


@contextmanager
def upstream(
    client: DockerClient, image: str, reaper: Reaper, *, customers: int
) -> Iterator[tuple[str, UpstreamControl]]:
    """The simulated upstream in a container: its address for pods, and its control endpoint."""
    container = client.containers.run(
        image,
        ["--host", "0.0.0.0", "--port", str(UPSTREAM_PORT), "--customers", str(customers), "--rate-limit", "none"],
        entrypoint=["python", "-m", "worker.demo.upstream"],
        detach=True,
        ports={f"{UPSTREAM_PORT}/tcp": ("127.0.0.1", None)},
    )
    reaper.watch("container", container.id)
    try:
        address = address_of(container)
        port = container.ports[f"{UPSTREAM_PORT}/tcp"][0]["HostPort"]
        control = UpstreamControl(f"http://127.0.0.1:{port}")
        wait_until(control.answers, within_seconds=20, what="the simulated upstream answers")
        yield address, control
    finally:
        container.remove(force=True, v=True)
        reaper.forget("container", container.id)


@contextmanager
def volumes(client: DockerClient, image: str, reaper: Reaper, template: PodTemplate) -> Iterator[str]:
    """A container that never runs and holds what is mounted into pods, with the owner and mode the kubelet gives it."""
    folders = sorted({str(PurePosixPath(file.path).parent) for file in template.files})
    container = client.containers.create(image, volumes=folders)
    reaper.watch("container", container.id)
    try:
        for folder in folders:
            files = [file for file in template.files if str(PurePosixPath(file.path).parent) == folder]
            container.put_archive(folder, _archive(files, template.group))
        yield str(container.id)
    finally:
        container.remove(force=True, v=True)
        reaper.forget("container", container.id)


def address_of(container: Container) -> str:
    """Where other containers reach it."""

    def address() -> str:
        container.reload()
        networks = container.attrs["NetworkSettings"]["Networks"].values()
        return next((str(network["IPAddress"]) for network in networks if network["IPAddress"]), "")

    return wait_until(address, within_seconds=10, what=f"{container.name} has an address")


def _archive(files: list[SecretFile], group: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for file in files:
            member = tarfile.TarInfo(PurePosixPath(file.path).name)
            member.size, member.mode, member.gid = len(file.content), file.mode, group
            archive.addfile(member, io.BytesIO(file.content))
    return buffer.getvalue()
