"""Makes the schemas of tests/data/kubernetes from what the projects publish, as Go modules: needs go and its proxy.

Kept is what the manifests use: their kinds and all that these refer to, without descriptions, and closed where the
published schemas are open, so that a misspelt field is an error.
"""

import hashlib
import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from manifests.schemas import CUSTOM_RESOURCES, FOLDER

Json = Any

RELEASES = ("1.35.4", "1.36.3", "1.37.2")
KINDS = (
    "apps/v1/Deployment",
    "apps/v1/StatefulSet",
    "batch/v1/Job",
    "networking.k8s.io/v1/NetworkPolicy",
    "policy/v1/PodDisruptionBudget",
    "v1/ConfigMap",
    "v1/Namespace",
    "v1/Secret",
    "v1/Service",
    "v1/ServiceAccount",
)
CUSTOM = {
    "github.com/prometheus-operator/prometheus-operator@v0.85.0": (
        "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
        "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
    ),
    "github.com/kedacore/keda/v2@v2.21.0": (
        "config/crd/bases/keda.sh_scaledobjects.yaml",
        "config/crd/bases/keda.sh_triggerauthentications.yaml",
    ),
}
# What says nothing about validity, or is judged by the API server alone (expressions in CEL).
_SILENT = {
    "default", "description", "example", "x-kubernetes-group-version-kind", "x-kubernetes-list-type",
    "x-kubernetes-map-type", "x-kubernetes-patch-merge-key", "x-kubernetes-patch-strategy", "x-kubernetes-unions",
    "x-kubernetes-validations",
}  # fmt: skip
# Written as text in the published schemas, and taken as numbers too.
_TEXT_OR_NUMBER = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"type": ["integer", "string"]},
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"type": ["number", "string"]},
}


def renew() -> list[Path]:
    """Writes all of them, and returns their paths."""
    return [*(_of_release(release) for release in RELEASES), _of_custom_resources()]


def _of_release(release: str) -> Path:
    module = f"k8s.io/kubernetes@v{release}"
    source = _module(module) / "api/openapi-spec/swagger.json"
    definitions = json.loads(source.read_text(encoding="utf-8"))["definitions"]
    kinds = {
        _kind(**of): name
        for name, definition in definitions.items()
        for of in definition.get("x-kubernetes-group-version-kind", [])
        if _kind(**of) in KINDS
    }
    kept = {name: _compact(definitions[name]) for name in _reachable(definitions, kinds.values())}
    kept |= {name: schema for name, schema in _TEXT_OR_NUMBER.items() if name in kept}
    return _write(release, {f"{module}/{source.name}": _checksum(source)}, kinds, kept)


def _of_custom_resources() -> Path:
    sources, kinds, kept = {}, {}, {}
    for module, paths in CUSTOM.items():
        for path in paths:
            source = _module(module) / path
            sources[f"{module}/{source.name}"] = _checksum(source)
            spec = yaml.safe_load(source.read_text(encoding="utf-8"))["spec"]
            for version in spec["versions"]:
                kind = _kind(group=spec["group"], version=version["name"], kind=spec["names"]["kind"])
                kinds[kind] = kind.replace("/", ".")
                schema = _compact(version["schema"]["openAPIV3Schema"])
                schema["properties"].pop("status", None)
                schema["properties"]["metadata"] = {"type": "object"}
                kept[kinds[kind]] = schema
    return _write(CUSTOM_RESOURCES, sources, kinds, kept)


def _kind(*, group: str, version: str, kind: str) -> str:
    return "/".join(filter(None, (group, version, kind)))


def _compact(schema: Json) -> Json:
    if isinstance(schema, list):
        return [_compact(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    kept: dict[str, Json] = {
        name: {field: _compact(one) for field, one in value.items()} if name == "properties" else _compact(value)
        for name, value in schema.items()
        if name not in _SILENT
    }
    if kept.pop("x-kubernetes-int-or-string", False):
        kept["type"] = ["integer", "string"]
        kept.pop("anyOf", None)
    if "$ref" in kept:
        kept["$ref"] = kept["$ref"].replace("#/definitions/", "#/$defs/")
    is_open = kept.pop("x-kubernetes-preserve-unknown-fields", False)
    if "properties" in kept and "additionalProperties" not in kept and not is_open:
        kept["additionalProperties"] = False
    if kept.pop("nullable", False):
        return {"anyOf": [kept, {"type": "null"}]}
    return kept


def _reachable(definitions: Mapping[str, Json], names: Iterator[str] | Json) -> set[str]:
    reached: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += _references(definitions[name])
    return reached


def _references(schema: Json) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(reference := schema.get("$ref"), str):
            yield reference.removeprefix("#/definitions/")
        for value in schema.values():
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def _module(name: str) -> Path:
    """Where Go has unpacked this version of a module."""
    downloaded = subprocess.run(["go", "mod", "download", "-json", name], capture_output=True, check=True)
    return Path(json.loads(downloaded.stdout)["Dir"])


def _checksum(source: Path) -> str:
    return "sha256:" + hashlib.sha256(source.read_bytes()).hexdigest()


def _write(name: str, sources: Mapping[str, str], kinds: Mapping[str, str], definitions: Mapping[str, Json]) -> Path:
    """A definition a line, so that a difference can be read."""
    lines = [
        f"  {json.dumps(name)}: {json.dumps(definitions[name], sort_keys=True, separators=(',', ':'))}"
        for name in sorted(definitions)
    ]
    path = FOLDER / f"{name}.json"
    path.write_text(
        f'{{\n"sources": {json.dumps(sources, indent=2, sort_keys=True)},\n'
        f'"kinds": {json.dumps(kinds, indent=2, sort_keys=True)},\n"$defs": {{\n' + ",\n".join(lines) + "\n}\n}\n",
        encoding="utf-8",
    )
    return path
