"""What kustomize makes of deploy/kubernetes, kept beside it, so that it can be judged and tried where there is none.

Each rendering begins with a checksum of all sources. So a change that was not rendered anew is seen everywhere; where
kustomize can be had, that the rendering is true is seen as well.
"""

import hashlib
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import yaml

from manifests.schemas import Manifest

KUBERNETES = Path(__file__).resolve().parents[2] / "deploy" / "kubernetes"
RENDERED = KUBERNETES / "rendered"
OVERLAYS = {"example": "overlays/example", "example-topics": "overlays/example/topics", "keda": "overlays/keda"}
KUSTOMIZE = "sigs.k8s.io/kustomize/kustomize/v5@v5.7.1"
RENEW = "renew it with: make manifests"


RULES = KUBERNETES.parent / "observability" / "rules.yaml"
PROMETHEUS_RULE = "monitoring/prometheus-rule.yaml"


class _Dumper(yaml.SafeDumper):
    """Writes text of several lines as such."""


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None),
)


class KustomizeMissingError(Exception):
    """There is no kustomize here, nor anything that has it in itself."""


@cache
def manifests_of(name: str) -> Sequence[Manifest]:
    """The rendering of this overlay."""
    return tuple(yaml.safe_load_all((RENDERED / f"{name}.yaml").read_text(encoding="utf-8")))


def stale() -> list[str]:
    """The overlays whose rendering is of other sources than there are now; all, where the alerts have changed."""
    if (KUBERNETES / PROMETHEUS_RULE).read_text(encoding="utf-8") != prometheus_rule():
        return list(OVERLAYS)
    head = _head()
    return [
        name
        for name in OVERLAYS
        if not (path := RENDERED / f"{name}.yaml").exists() or not path.read_text(encoding="utf-8").startswith(head)
    ]


def untrue(kustomize: Sequence[str]) -> list[str]:
    """The overlays of which *kustomize* makes something else than their rendering says."""
    return [name for name in OVERLAYS if tuple(yaml.safe_load_all(_build(kustomize, name))) != manifests_of(name)]


def prometheus_rule() -> str:
    """Prometheus' rules as the operator takes them: the same groups, in a manifest."""
    rules = RULES.read_text(encoding="utf-8")
    groups = yaml.safe_load(rules)["groups"]
    manifest = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "customer-sync", "labels": {"app.kubernetes.io/name": "customer-sync"}},
        "spec": {"groups": groups},
    }
    return f"# Made by `make manifests` from ../../observability/{RULES.name}\n" + yaml.dump(
        manifest, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True
    )


def render(kustomize: Sequence[str]) -> list[Path]:
    """Writes all that is made, and returns the renderings' paths."""
    (KUBERNETES / PROMETHEUS_RULE).write_text(prometheus_rule(), encoding="utf-8")
    RENDERED.mkdir(exist_ok=True)
    paths = []
    for name in OVERLAYS:
        path = RENDERED / f"{name}.yaml"
        path.write_text(_head() + _build(kustomize, name), encoding="utf-8")
        paths.append(path)
    return paths


def installed_kustomize() -> list[str]:
    """The command that builds a kustomization. KustomizeMissingError where there is neither kustomize nor kubectl."""
    if kustomize := shutil.which("kustomize"):
        return [kustomize, "build"]
    if kubectl := shutil.which("kubectl"):
        return [kubectl, "kustomize"]
    message = "neither kustomize nor kubectl is installed"
    raise KustomizeMissingError(message)


def any_kustomize() -> list[str]:
    """As installed_kustomize; where nothing is installed, Go builds it, which takes half a minute the first time."""
    try:
        return installed_kustomize()
    except KustomizeMissingError:
        if go := shutil.which("go"):
            return [go, "run", KUSTOMIZE, "build"]
        raise


def _build(kustomize: Sequence[str], name: str) -> str:
    built = subprocess.run([*kustomize, str(KUBERNETES / OVERLAYS[name])], capture_output=True, text=True, check=False)
    if built.returncode:
        raise RuntimeError(built.stderr)
    return built.stdout


def _head() -> str:
    digest = hashlib.sha256()
    for path in sorted(KUBERNETES.rglob("*")):
        if path.is_file() and RENDERED not in path.parents:
            content = path.read_bytes()
            digest.update(f"{path.relative_to(KUBERNETES).as_posix()} {len(content)}\n".encode() + content)
    return f"# Made by `make manifests` from sources with the checksum sha256:{digest.hexdigest()}\n"
