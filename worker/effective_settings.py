"""The settings in effect, fit to be shown: each value with where it came from, secrets masked."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import SecretStr

from worker.settings import Settings, variable_of

MASK: Final = "******"
"""However long the secret is."""


def effective_settings(settings: Settings) -> list[tuple[str, str, str]]:
    """Every variable, its value in words, and where that came from, in the order of the reference."""
    return [
        (variable_of(name), in_words(shown(settings, name)), source_of(settings, name))
        for name in Settings.model_fields
    ]


def shown(settings: Settings, name: str) -> Any:  # noqa: ANN401  # a JSON value of any type
    """The value of the attribute *name* as JSON; a secret is masked."""
    value = getattr(settings, name)
    if isinstance(value, SecretStr):
        return MASK
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def source_of(settings: Settings, name: str) -> Literal["default", "environment", "file"]:
    """Where the value of the attribute *name* came from."""
    if getattr(settings, f"{name}_file", None) is not None:
        return "file"
    return "environment" if name in settings.model_fields_set else "default"


def in_words(value: object) -> str:
    """A value as people write it into an environment; a dash for none."""
    if value is None:
        return "-"
    return str(value).lower() if isinstance(value, bool) else str(value)
