"""Manifests checked offline, and renewed.

python -m manifests            are the renderings true, and valid for each Kubernetes whose schemas are kept?
python -m manifests render     renders the overlays anew
python -m manifests schemas    fetches the schemas anew (needs Go)
"""

import sys

from manifests.rendering import (
    OVERLAYS,
    RENEW,
    KustomizeMissingError,
    any_kustomize,
    installed_kustomize,
    manifests_of,
    render,
    stale,
    untrue,
)
from manifests.schemas import schemas_of, versions


def main() -> int:
    """See the module."""
    match sys.argv[1:]:
        case []:
            return _check()
        case ["render"]:
            print("\n".join(map(str, render(any_kustomize()))))
        case ["schemas"]:
            from manifests.renew import renew

            print("\n".join(map(str, renew())))
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


def _check() -> int:
    faults = [f"rendered/{name}.yaml is of other sources; {RENEW}" for name in stale()]
    note = ""
    if not faults:
        try:
            faults += [
                f"rendered/{name}.yaml is not what kustomize makes; {RENEW}" for name in untrue(installed_kustomize())
            ]
        except KustomizeMissingError as missing:
            note = f" (not rendered anew: {missing})"
    manifests = [manifest for name in OVERLAYS for manifest in manifests_of(name)] if not faults else []
    for version in versions():
        schemas = schemas_of(version)
        faults += [f"Kubernetes {version}: {problem}" for one in manifests for problem in schemas.problems(one)]
    if faults:
        print("\n".join(faults), file=sys.stderr)
        return 1
    print(f"{len(manifests)} manifests of {len(OVERLAYS)} overlays: valid for Kubernetes {', '.join(versions())}{note}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
