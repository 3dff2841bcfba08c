"""The page's style, script and icon: files beside this one, served under names that change with their content."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(frozen=True, slots=True)
class Asset:
    """One file, and the path that it is served under."""

    path: str
    content_type: str
    content: bytes


def _asset(name: str, content_type: str) -> Asset:
    content = Path(__file__).with_name(name).read_bytes()
    stem, _, suffix = name.rpartition(".")
    return Asset(f"/assets/{stem}-{hashlib.sha256(content).hexdigest()[:12]}.{suffix}", content_type, content)


STYLE: Final = _asset("page.css", "text/css; charset=utf-8")
SCRIPT: Final = _asset("page.js", "text/javascript; charset=utf-8")
ICON: Final = _asset("icon.svg", "image/svg+xml")
ASSETS: Final = (STYLE, SCRIPT, ICON)
VERSION: Final = hashlib.sha256("".join(asset.path for asset in ASSETS).encode()).hexdigest()[:12]
"""Changes with any of them, so that a page that was loaded before an update knows it."""
