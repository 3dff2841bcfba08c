"""`config`: what the settings are, where each comes from, and the reference of all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from worker.cli.console import say, say_json, usable_settings

if TYPE_CHECKING:
    from typer._click import HelpFormatter

EXAMPLES: Final = "Examples:\n  customer-sync config\n  customer-sync config --json | jq .DELIVERY.value"

_GROUP_BEGINS: Final = {
    "kafka_bootstrap_servers": "Kafka",
    "commands_topic": "Topics",
    "upstream_base_url": "Upstream",
    "retry_initial_seconds": "Retries",
    "delivery": "Delivery",
    "event_field_case": "Events",
    "http_host": "Operations",
    "otel_exporter_otlp_endpoint": "Tracing",
}
_WIDEST_VARIABLE: Final = 28
_REFERENCE_BEGINS: Final = """\
# Settings

All of them are environment variables; nothing else is read, but for OpenTelemetry's other variables where something is
traced. A variable that is set but empty counts as not set.
A secret can be given as a file instead, under its name with `_FILE` behind it; both at once are refused.
Whatever is wrong is reported at once, by the variable's name. `customer-sync config` shows what is in effect.
"""


def config(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    reference: Annotated[bool, typer.Option(help="Print the reference table of all settings, in Markdown.")] = False,
) -> None:
    """Show the settings in effect; secrets are masked."""
    if reference:
        typer.echo(reference_table(), nl=False)
        return
    from worker.effective_settings import in_words, shown, source_of

    settings = usable_settings()
    rows = [
        (variable, shown(settings, variable.lower()), source_of(settings, variable.lower())) for variable in names()
    ]
    if as_json:
        say_json({variable: {"value": value, "source": source} for variable, value, source in rows})
        return
    width = max(len(variable) for variable, _, _ in rows)
    for variable, value, source in rows:
        style = "dim" if source == "default" else ""
        say((f"{variable:<{width}}  {in_words(value)}", style), (f"  ({source})", "dim"))


def names() -> list[str]:
    """Every variable, in the order of the reference."""
    from worker.settings import Settings, variable_of

    return [variable_of(name) for name in Settings.model_fields]


def grouped() -> dict[str, list[str]]:
    """The attributes of the settings in order, by the heading they stand under."""
    from worker.settings import Settings

    groups: dict[str, list[str]] = {}
    heading = ""
    for name in Settings.model_fields:
        heading = _GROUP_BEGINS.get(name, heading)
        groups.setdefault(heading, []).append(name)
    return groups


def write_variables(formatter: HelpFormatter, *, described: bool) -> None:
    """Writes the environment variables into a help text, with their meaning or by name only."""
    from worker.effective_settings import in_words
    from worker.settings import Settings, variable_of

    if not described:
        rows = [(heading, " ".join(variable_of(name) for name in group)) for heading, group in grouped().items()]
        with formatter.section("Environment variables (`customer-sync config --help` says what each means)"):
            formatter.write_dl(rows)
        return
    for heading, group in grouped().items():
        rows = []
        for name in group:
            field = Settings.model_fields[name]
            default = "" if field.default is None else f" Default: {in_words(field.default)}."
            rows.append((variable_of(name), f"{field.description}{default}"))
        with formatter.section(f"Environment variables, {heading}"):
            formatter.write_dl(rows, col_max=_WIDEST_VARIABLE)


def reference_table() -> str:
    """docs/settings.md."""
    from worker.effective_settings import in_words
    from worker.settings import Settings, variable_of

    lines = [_REFERENCE_BEGINS]
    for heading, group in grouped().items():
        lines += [f"## {heading}", "", "| variable | default | meaning |", "|---|---|---|"]
        for name in group:
            field = Settings.model_fields[name]
            default = "" if field.default is None else f"`{in_words(field.default)}`"
            lines.append(f"| `{variable_of(name)}` | {default} | {field.description} |")
        lines.append("")
    return "\n".join(lines)
