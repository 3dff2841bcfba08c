"""The manifests are what Kubernetes takes, fit each other and the worker, and ask for no more rights than they need."""

import copy
import math
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.markdown import ROOT
from manifests import rendering
from manifests.rendering import OVERLAYS, KustomizeMissingError, installed_kustomize, manifests_of, stale, untrue
from manifests.schemas import Manifest, kind_of, name_of, schemas_of, versions
from worker.settings import SECRETS, Settings, variable_of

REPLICA_REQUESTS_PER_SECOND = 200
AVAILABLE_REPLICAS = 2
REQUESTS_OF_A_COMMAND = 2

every_overlay = pytest.mark.parametrize("overlay", OVERLAYS)
with_workers = pytest.mark.parametrize("overlay", ["example", "keda"])


def of_kind(overlay: str, kind: str) -> list[Manifest]:
    """All manifests of this kind."""
    return [one for one in manifests_of(overlay) if one["kind"] == kind]


def the(overlay: str, kind: str) -> Manifest:
    """The only manifest of this kind."""
    (one,) = of_kind(overlay, kind)
    return one


def pods(overlay: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each pod template, with the name of what makes pods of it."""
    for manifest in manifests_of(overlay):
        if "template" in manifest.get("spec", {}):
            yield name_of(manifest), manifest["spec"]["template"]


def worker(overlay: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The worker's pod and its only container."""
    pod = the(overlay, "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    return pod, container


def settings(overlay: str) -> dict[str, str]:
    """The environment that the ConfigMap gives."""
    return dict(the(overlay, "ConfigMap")["data"])


@pytest.mark.parametrize("version", versions())
@every_overlay
def test_each_manifest_is_valid(overlay: str, version: str) -> None:
    """For each Kubernetes whose schemas are kept, of which there are three."""
    problems = [problem for manifest in manifests_of(overlay) for problem in schemas_of(version).problems(manifest)]

    assert problems == []
    assert len(versions()) >= 3


def with_misspelt_probe(deployment: dict[str, Any]) -> None:
    """A field that no schema knows."""
    deployment["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}


def with_wrong_type(deployment: dict[str, Any]) -> None:
    """A number as a word."""
    deployment["spec"]["replicas"] = "three"


def with_variable_twice(deployment: dict[str, Any]) -> None:
    """Of two variables of one name, one is without effect."""
    variables = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    variables.append(variables[0])


def without_selector(deployment: dict[str, Any]) -> None:
    """A required field is missing."""
    del deployment["spec"]["selector"]


def of_another_version(deployment: dict[str, Any]) -> None:
    """A kind that this Kubernetes does not have."""
    deployment["apiVersion"] = "apps/v1beta1"


@pytest.mark.parametrize(
    "broken", [with_misspelt_probe, with_wrong_type, with_variable_twice, without_selector, of_another_version]
)
def test_a_faulty_manifest_is_found(broken: Callable[[dict[str, Any]], None]) -> None:
    """Otherwise the test above would prove nothing."""
    deployment = copy.deepcopy(dict(the("example", "Deployment")))
    broken(deployment)

    assert len(list(schemas_of(versions()[-1]).problems(deployment))) == 1


def test_a_change_that_was_not_rendered_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without kustomize: by the checksum of the sources."""
    assert stale() == []
    changed = shutil.copytree(rendering.KUBERNETES, tmp_path / "kubernetes")
    monkeypatch.setattr(rendering, "KUBERNETES", changed)
    monkeypatch.setattr(rendering, "RENDERED", changed / "rendered")
    (changed / "base" / "service.yaml").write_text("# changed\n", encoding="utf-8")

    assert stale() == list(OVERLAYS)


def test_alerts_that_were_changed_alone_are_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The operator's rules are made of Prometheus' own."""
    changed = tmp_path / "rules.yaml"
    rules = rendering.RULES.read_text(encoding="utf-8")
    changed.write_text(rules.replace("severity: critical", "severity: note"), encoding="utf-8")
    monkeypatch.setattr(rendering, "RULES", changed)

    assert stale() == list(OVERLAYS)


def test_the_renderings_are_what_kustomize_makes() -> None:
    """Where kustomize or kubectl is installed."""
    try:
        kustomize = installed_kustomize()
    except KustomizeMissingError as missing:
        pytest.skip(str(missing))

    assert untrue(kustomize) == []


@every_overlay
def test_all_variables_are_settings(overlay: str) -> None:
    """A misspelt variable would be ignored in silence."""
    known = {variable_of(name) for name in Settings.model_fields} | {f"{variable_of(name)}_FILE" for name in SECRETS}
    named = set(settings(overlay))
    for _, template in pods(overlay):
        for container in template["spec"]["containers"]:
            named |= {variable["name"] for variable in container.get("env", [])}

    assert named - known == set()


@with_workers
def test_the_worker_has_time_to_end(overlay: str) -> None:
    """SIGKILL comes after the process has had all of SHUTDOWN_GRACE_SECONDS, and some to spare."""
    pod, container = worker(overlay)
    pre_stop = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)

    assert pod["terminationGracePeriodSeconds"] >= pre_stop + int(settings(overlay)["SHUTDOWN_GRACE_SECONDS"]) + 3


@with_workers
def test_each_replica_is_a_static_member_of_its_own(overlay: str) -> None:
    """By the pod's name, which a restarted container keeps and no other pod has."""
    _, container = worker(overlay)
    (instance,) = (one for one in container["env"] if one["name"] == "KAFKA_GROUP_INSTANCE_ID")

    assert instance["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"


@with_workers
def test_probes_ask_what_they_are_for(overlay: str) -> None:
    """Liveness has its own question: a worker that is held or rebalances must not be restarted."""
    _, container = worker(overlay)
    asked = {name: container[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}

    assert {name: get["path"] for name, get in asked.items()} == {
        "startupProbe": "/livez",
        "livenessProbe": "/livez",
        "readinessProbe": "/readyz",
    }
    assert {get["port"] for get in asked.values()} == {"http"}
    assert settings(overlay)["HTTP_PORT"] == str(container["ports"][0]["containerPort"])


@every_overlay
def test_pods_are_restricted(overlay: str) -> None:
    """As the pod security standard of that name wants it, and more: no writable root, no token of the cluster."""
    for name, template in pods(overlay):
        pod = template["spec"]
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert all(set(volume) - {"name"} <= {"secret", "configMap", "emptyDir"} for volume in pod.get("volumes", []))
        assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & set(pod), name
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            assert {"cpu", "memory"} <= set(container["resources"]["limits"]), name
            assert {"cpu", "memory"} <= set(container["resources"]["requests"]), name
    assert the(overlay, "Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@every_overlay
def test_pods_run_as_the_user_of_the_image(overlay: str) -> None:
    """Whose files belong to nobody who runs."""
    (user,) = re.findall(r"^USER (\d+:\d+)$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    for _, template in pods(overlay):
        security = template["spec"]["securityContext"]
        assert f"{security['runAsUser']}:{security['runAsGroup']}" == user


@every_overlay
def test_what_a_pod_names_is_there(overlay: str) -> None:
    """ConfigMaps, Secrets, volumes and the service account, under the names that kustomize gave them."""
    there = {(one["kind"], one["metadata"]["name"]) for one in manifests_of(overlay)}
    for _, template in pods(overlay):
        pod = template["spec"]
        named = {("Secret", volume["secret"]["secretName"]) for volume in pod.get("volumes", []) if "secret" in volume}
        if "serviceAccountName" in pod:
            named.add(("ServiceAccount", pod["serviceAccountName"]))
        for container in pod["containers"]:
            named |= {("ConfigMap", source["configMapRef"]["name"]) for source in container["envFrom"]}
            mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
            assert mounted == {volume["name"] for volume in pod.get("volumes", [])}
        assert named - there == set()


@with_workers
def test_selectors_find_the_workers(overlay: str) -> None:
    """Of whatever selects pods, and of what selects the service."""
    labels = the(overlay, "Deployment")["spec"]["template"]["metadata"]["labels"]
    selectors = [
        the(overlay, "Deployment")["spec"]["selector"]["matchLabels"],
        the(overlay, "Service")["spec"]["selector"],
        the(overlay, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        the(overlay, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        *(one["labelSelector"]["matchLabels"] for one in worker(overlay)[0]["topologySpreadConstraints"]),
    ]
    assert all(selector.items() <= labels.items() for selector in selectors)

    service = the(overlay, "Service")
    monitor = the(overlay, "ServiceMonitor")["spec"]
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert {one["port"] for one in monitor["endpoints"]} <= {port["name"] for port in service["spec"]["ports"]}


def test_the_network_policy_is_for_the_job_as_well() -> None:
    """It reaches Kafka under the same rules."""
    ((_, template),) = pods("example-topics")
    selector = the("example", "NetworkPolicy")["spec"]["podSelector"]["matchLabels"]

    assert selector.items() <= template["metadata"]["labels"].items()


@every_overlay
def test_a_changed_setting_rolls_the_pods_and_a_changed_token_does_not(overlay: str) -> None:
    """Checksums in the names of all that is read at the start; the token is read again while the worker runs."""
    names = {one["metadata"]["name"] for kind in ("ConfigMap", "Secret") for one in of_kind(overlay, kind)}

    assert "customer-sync-upstream" in names
    assert all(re.fullmatch(r"[\w-]+-[a-z0-9]{10}", name) for name in names - {"customer-sync-upstream"})


def most_replicas(*, limit: float, window_seconds: float, partitions: int) -> int:
    """The formula of docs/capacity.md; *limit* 0 is none."""
    if not limit:
        return partitions
    wanted = math.ceil(limit / window_seconds / REPLICA_REQUESTS_PER_SECOND)
    return min(max(wanted, AVAILABLE_REPLICAS), partitions)


def lag_threshold(*, limit: float, window_seconds: float, replicas: int) -> int:
    """The formula of docs/capacity.md."""
    return math.floor(60 * limit / window_seconds / REQUESTS_OF_A_COMMAND / replicas)


def test_keda_never_asks_for_more_replicas_than_the_budget_feeds() -> None:
    """By the formulas of docs/capacity.md, from the overlay's own settings and the topics' own partitions."""
    environment = settings("keda")
    limit, window_seconds = (
        float(environment["UPSTREAM_RATE_LIMIT"]),
        float(environment["UPSTREAM_RATE_WINDOW_SECONDS"]),
    )
    ((_, job),) = pods("example-topics")
    arguments = job["spec"]["containers"][0]["args"]
    partitions = int(arguments[arguments.index("--partitions") + 1])
    scaled = the("keda", "ScaledObject")["spec"]
    (trigger,) = scaled["triggers"]

    most = most_replicas(limit=limit, window_seconds=window_seconds, partitions=partitions)
    assert scaled["maxReplicaCount"] == most
    assert scaled["minReplicaCount"] <= scaled["fallback"]["replicas"] <= most
    threshold = lag_threshold(limit=limit, window_seconds=window_seconds, replicas=most)
    assert trigger["metadata"]["lagThreshold"] == str(threshold)


def test_keda_looks_at_the_workers_group_and_topic() -> None:
    """With the same Kafka and the same credentials."""
    environment = settings("keda")
    (trigger,) = the("keda", "ScaledObject")["spec"]["triggers"]
    (secret,) = {one["name"] for one in the("keda", "TriggerAuthentication")["spec"]["secretTargetRef"]}

    assert trigger["metadata"]["bootstrapServers"] == environment["KAFKA_BOOTSTRAP_SERVERS"]
    assert trigger["metadata"]["consumerGroup"] == environment["KAFKA_GROUP_ID"]
    assert trigger["metadata"]["topic"] == environment.get(
        "COMMANDS_TOPIC", Settings.model_fields["commands_topic"].default
    )
    assert trigger["metadata"]["sasl"] == environment["KAFKA_SASL_MECHANISM"].lower().replace("sha-", "sha").replace(
        "-", "_"
    )
    assert ("Secret", secret) in {(one["kind"], one["metadata"]["name"]) for one in manifests_of("keda")}
    assert "replicas" not in the("keda", "Deployment")["spec"]


def test_the_table_of_budgets_follows_the_formulas() -> None:
    """docs/capacity.md shows what they come to."""
    text = (ROOT / "docs" / "capacity.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\d,]+) in ([\d,]+) s \| \d+ \| (\d+) \| ([\d,]+) \|$", text, re.MULTILINE)

    assert len(rows) >= 4
    for row in rows:
        limit, window_seconds, replicas, threshold = (int(number.replace(",", "")) for number in row)
        assert replicas == most_replicas(limit=limit, window_seconds=window_seconds, partitions=12)
        assert threshold == lag_threshold(limit=limit, window_seconds=window_seconds, replicas=replicas)


def test_every_kind_is_known_by_its_version() -> None:
    """The schemas' lists and the manifests speak of kinds in the same way."""
    kinds = {kind_of(manifest) for overlay in OVERLAYS for manifest in manifests_of(overlay)}

    assert kinds <= set(schemas_of(versions()[-1]).validators)
