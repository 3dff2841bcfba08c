"""Whether a manifest is what a Kubernetes of a given version takes, judged offline by that version's own schemas.

Stricter than an API server in its default mode: a field that the schema does not know is an error, and so are two
entries of a list that must differ by a key (two environment variables of one name, say).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped] # it has no types of its own

Manifest = Mapping[str, Any]

FOLDER = Path(__file__).resolve().parents[1] / "data" / "kubernetes"
CUSTOM_RESOURCES = "custom-resources"


@dataclass(frozen=True, slots=True)
class Schemas:
    """The schemas of one Kubernetes, and of the custom resources that are used with it."""

    version: str
    """As Kubernetes calls its release: "1.37.2"."""
    validators: Mapping[str, Draft202012Validator]
    """For each kind, by "apiVersion/kind"."""

    def problems(self, manifest: Manifest) -> Iterator[str]:
        """What is wrong with *manifest*, each with the place where it is."""
        kind = kind_of(manifest)
        validator = self.validators.get(kind)
        if validator is None:
            yield f"{name_of(manifest)}: {self.version} has no {kind}"
            return
        for error in validator.iter_errors(manifest):
            yield f"{name_of(manifest)}: {error.json_path}: {error.message}"
        yield from (f"{name_of(manifest)}: {problem}" for problem in _repeated_keys(validator.schema, manifest))


def kind_of(manifest: Manifest) -> str:
    """As "apps/v1/Deployment"."""
    return f"{manifest.get('apiVersion')}/{manifest.get('kind')}"


def name_of(manifest: Manifest) -> str:
    """As "Deployment customer-sync", for people."""
    return f"{manifest.get('kind')} {manifest.get('metadata', {}).get('name')}"


def versions() -> Sequence[str]:
    """The releases whose schemas are kept, oldest first."""
    found = (path.stem for path in FOLDER.glob("[0-9]*.json"))
    return sorted(found, key=lambda version: [int(number) for number in version.split(".")])


@cache
def schemas_of(version: str) -> Schemas:
    """The schemas of this release, which must be one of versions()."""
    validators = {}
    for name in (version, CUSTOM_RESOURCES):
        document = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
        for kind, definition in document["kinds"].items():
            schema = {"$ref": f"#/$defs/{definition}", "$defs": document["$defs"]}
            validators[kind] = Draft202012Validator(schema)
    return Schemas(version, validators)


def _repeated_keys(schema: Mapping[str, Any], manifest: Manifest) -> Iterator[str]:
    definitions = schema["$defs"]

    def walk(schema: Mapping[str, Any], value: object, place: str) -> Iterator[str]:
        while "$ref" in schema:
            schema = definitions[schema["$ref"].removeprefix("#/$defs/")]
        if isinstance(value, list):
            keys = schema.get("x-kubernetes-list-map-keys", [])
            seen = [[entry.get(key) for key in keys] for entry in value if isinstance(entry, dict)] if keys else []
            for entry in (entry for position, entry in enumerate(seen) if entry in seen[:position]):
                yield f"{place}: more than one entry with {', '.join(map(str, entry))}"
            for position, one in enumerate(value):
                yield from walk(schema.get("items", {}), one, f"{place}[{position}]")
        if isinstance(value, dict):
            for name, one in value.items():
                yield from walk(schema.get("properties", {}).get(name, {}), one, f"{place}.{name}")

    yield from walk(schema, manifest, "$")
