"""What a Deployment says about its pods, as Docker can be told.

Everything in the pod's specification is either carried out, or known to need a cluster. Anything else is an error: what
a manifest asks for must not be left out in silence where its settings are tried.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from manifests.schemas import Manifest

_NEEDS_A_CLUSTER = {
    "automountServiceAccountToken", "enableServiceLinks", "restartPolicy", "serviceAccountName",
    "topologySpreadConstraints",
}  # fmt: skip
_UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "k": 10**3, "M": 10**6, "G": 10**9}


class NotUnderstoodError(Exception):
    """The manifest asks for something that is neither carried out nor known to need a cluster."""


@dataclass(frozen=True, slots=True)
class Probe:
    """An HTTP probe, as the kubelet has it; times in seconds."""

    path: str
    port: int
    period_seconds: float
    timeout_seconds: float
    failure_threshold: int
    success_threshold: int
    initial_delay_seconds: float


@dataclass(frozen=True, slots=True)
class SecretFile:
    """A file that a volume puts into the container, owned by root and the pod's group."""

    path: str
    content: bytes
    mode: int


@dataclass(frozen=True, slots=True)
class PodTemplate:
    """A pod of one container."""

    arguments: Sequence[str]
    environment: Mapping[str, str]
    """Where a value is the pod's name, it is POD_NAME."""
    files: Sequence[SecretFile]
    http_port: int
    startup: Probe
    liveness: Probe
    readiness: Probe
    grace_seconds: int
    pre_stop_seconds: float
    user: str
    """User and group, "10001:10001"."""
    group: int
    """The group of the files."""
    is_read_only: bool
    may_gain_privileges: bool
    dropped_capabilities: Sequence[str]
    memory_bytes: int
    cpus: float
    cpus_requested: float


POD_NAME = "$(metadata.name)"


def pod_template(deployment: Manifest, others: Sequence[Manifest]) -> PodTemplate:
    """The pods of *deployment*; *others* hold the ConfigMaps and Secrets that it names. Raises NotUnderstoodError."""
    spec = dict(deployment["spec"]["template"]["spec"])
    (container,) = map(dict, spec.pop("containers"))
    pod_security = dict(spec.pop("securityContext"))
    security = dict(container.pop("securityContext"))
    resources = dict(container.pop("resources"))
    volumes = {volume["name"]: volume for volume in spec.pop("volumes", [])}
    ports = {port["name"]: port["containerPort"] for port in container.pop("ports")}
    mounts = container.pop("volumeMounts", [])
    by_name = {(one["kind"], one["metadata"]["name"]): one for one in others}
    template = PodTemplate(
        arguments=tuple(container.pop("args", ())),
        environment=_environment(container.pop("envFrom", []), container.pop("env", []), by_name),
        files=[file for mount in mounts for file in _files(mount, volumes[mount["name"]], by_name)],
        http_port=ports["http"],
        startup=_probe(container.pop("startupProbe"), ports),
        liveness=_probe(container.pop("livenessProbe"), ports),
        readiness=_probe(container.pop("readinessProbe"), ports),
        grace_seconds=spec.pop("terminationGracePeriodSeconds"),
        pre_stop_seconds=_pre_stop(container.pop("lifecycle", {})),
        user=f"{pod_security.pop('runAsUser')}:{pod_security.pop('runAsGroup')}",
        group=pod_security.pop("fsGroup"),
        is_read_only=security.pop("readOnlyRootFilesystem"),
        may_gain_privileges=security.pop("allowPrivilegeEscalation"),
        dropped_capabilities=security.pop("capabilities")["drop"],
        memory_bytes=int(quantity(resources["limits"]["memory"])),
        cpus=quantity(resources["limits"]["cpu"]),
        cpus_requested=quantity(resources["requests"]["cpu"]),
    )
    for _ in ("name", "image", "imagePullPolicy"):
        container.pop(_)
    _expect(pod_security, {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}})
    left = {**container, **security, **{name: value for name, value in spec.items() if name not in _NEEDS_A_CLUSTER}}
    _expect(left, {})
    return template


def quantity(text: str | float) -> float:
    """A Kubernetes quantity as a number: 0.1 for "100m", 268435456 for "256Mi"."""
    text = str(text)
    for unit, factor in _UNITS.items():
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * factor
    return float(text[:-1]) / 1000 if text.endswith("m") else float(text)


def _environment(
    sources: Sequence[Manifest], variables: Sequence[Manifest], by_name: Mapping[tuple[str, str], Manifest]
) -> dict[str, str]:
    environment: dict[str, str] = {}
    for source in sources:
        environment |= by_name["ConfigMap", source["configMapRef"]["name"]]["data"]
    for variable in variables:
        if "value" in variable:
            environment[variable["name"]] = variable["value"]
        else:
            _expect(variable["valueFrom"], {"fieldRef": {"fieldPath": "metadata.name"}}, ignoring={"apiVersion"})
            environment[variable["name"]] = POD_NAME
    return environment


def _files(mount: Manifest, volume: Manifest, by_name: Mapping[tuple[str, str], Manifest]) -> list[SecretFile]:
    _expect(mount, {"name": volume["name"], "mountPath": mount["mountPath"], "readOnly": True})
    secret = volume["secret"]
    data = by_name["Secret", secret["secretName"]]["data"]
    return [
        SecretFile(f"{mount['mountPath']}/{name}", base64.b64decode(content), secret["defaultMode"])
        for name, content in data.items()
    ]


def _probe(probe: Manifest, ports: Mapping[str, int]) -> Probe:
    probe = dict(probe)
    http = dict(probe.pop("httpGet"))
    made = Probe(
        path=http.pop("path"),
        port=ports[http.pop("port")],
        period_seconds=probe.pop("periodSeconds", 10),
        timeout_seconds=probe.pop("timeoutSeconds", 1),
        failure_threshold=probe.pop("failureThreshold", 3),
        success_threshold=probe.pop("successThreshold", 1),
        initial_delay_seconds=probe.pop("initialDelaySeconds", 0),
    )
    _expect({**probe, **http}, {})
    return made


def _pre_stop(lifecycle: Manifest) -> float:
    if not lifecycle:
        return 0
    seconds: float = lifecycle["preStop"]["sleep"]["seconds"]
    _expect(lifecycle, {"preStop": {"sleep": {"seconds": seconds}}})
    return seconds


def _expect(
    found: Mapping[str, Any], expected: Mapping[str, Any], *, ignoring: frozenset[str] | set[str] = frozenset()
) -> None:
    if {name: value for name, value in found.items() if name not in ignoring} != expected:
        message = f"not carried out: {dict(found)}"
        raise NotUnderstoodError(message)
