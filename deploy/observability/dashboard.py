"""The Grafana dashboard, as data: `make docs` writes it to dashboard.json, which Grafana imports.

The builders are Grafana's own, made from its schema, so what does not fit the schema does not get past mypy.
"""

import sys
from dataclasses import dataclass
from string import ascii_uppercase

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import BigValueGraphMode, LegendDisplayMode, LegendPlacement
from grafana_foundation_sdk.models.dashboard import DataSourceRef, VariableRefresh

SOURCE = DataSourceRef(type_val="prometheus", uid="${source}")
OF_JOB = 'job=~"$job"'


@dataclass(frozen=True, slots=True)
class Panel:
    """Its queries by the legend of their series, and the unit by Grafana's name."""

    title: str
    unit: str
    meaning: str
    queries: dict[str, str]


def rate(counter: str, by: str = "") -> str:
    """A counter's rate a second, over all replicas."""
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped} (rate({counter}{{{OF_JOB}}}[$__rate_interval]))"


def total(gauge: str, by: str = "", how: str = "sum") -> str:
    """A gauge over all replicas."""
    grouped = f" by ({by})" if by else ""
    return f"{how}{grouped} ({gauge}{{{OF_JOB}}})"


def quantile(share: float, histogram: str, by: str = "") -> str:
    """What so many of the observations do not exceed."""
    return f"histogram_quantile({share}, {rate(f'{histogram}_bucket', f'{by}, le' if by else 'le')})"


NOW = "Now"
"""The row of single figures."""

PANELS: dict[str, tuple[Panel, ...]] = {
    NOW: (
        Panel("Lag", "short", "Commands that are not settled.", {"commands": total("customer_sync_lag_commands")}),
        Panel("Lag in requests", "short", "What they will cost.", {"requests": total("customer_sync_lag_requests")}),
        Panel(
            "Drained in",
            "s",
            "At the present budget; no value while it cannot be said.",
            {"time": f"clamp_min({total('customer_sync_lag_drained_timestamp_seconds', how='max')} - time(), 0)"},
        ),
        Panel("Oldest command", "s", "Its age.", {"age": total("customer_sync_oldest_command_age_seconds", how="max")}),
        Panel(
            "Budget left",
            "short",
            "Requests, in this window.",
            {"requests": total("customer_sync_budget_remaining_requests", how="min")},
        ),
        Panel("Held", "bool_yes_no", "By a fault of the deployment.", {"held": total("customer_sync_held", how="max")}),
        Panel("Replicas ready", "short", "Of those that run.", {"ready": total("customer_sync_ready")}),
        Panel(
            "Dead letters of a day",
            "short",
            "All reasons.",
            {"dead letters": f'sum (increase(customer_sync_outcomes_total{{{OF_JOB}, outcome="dead_letter"}}[1d]))'},
        ),
    ),
    "Commands": (
        Panel(
            "Outcomes",
            "ops",
            "Events, and dead letters by reason.",
            {"{{outcome}} {{reason}}": rate("customer_sync_outcomes_total", "outcome, reason")},
        ),
        Panel(
            "From command to outcome",
            "s",
            "Since the command was published.",
            {
                "half": quantile(0.5, "customer_sync_command_duration_seconds"),
                "95 %": quantile(0.95, "customer_sync_command_duration_seconds"),
            },
        ),
        Panel(
            "Lag by partition",
            "short",
            "Commands that are not settled.",
            {"{{partition}}": total("customer_sync_lag_commands", "partition")},
        ),
        Panel(
            "Age of the oldest command",
            "s",
            "By partition.",
            {"{{partition}}": total("customer_sync_oldest_command_age_seconds", "partition", "max")},
        ),
        Panel(
            "Read",
            "ops",
            "Records read, and those that needed no outcome.",
            {
                "received": rate("customer_sync_commands_received_total"),
                "repeated": rate("customer_sync_commands_repeated_total"),
                "settled before": rate("customer_sync_commands_skipped_total"),
                "misplaced": rate("customer_sync_commands_misplaced_total"),
                "lost to retention": rate("customer_sync_commands_lost_to_retention_total"),
            },
        ),
        Panel("In memory", "bytes", "Counted for commands that wait.", {"bytes": total("customer_sync_held_bytes")}),
    ),
    "The upstream": (
        Panel(
            "Requests",
            "reqps",
            "By their answer.",
            {"{{request}} {{answer}}": rate("customer_sync_upstream_requests_total", "request, answer")},
        ),
        Panel(
            "Time to answer",
            "s",
            "By kind of request.",
            {
                "half of {{request}}": quantile(0.5, "customer_sync_upstream_request_duration_seconds", "request"),
                "95 % of {{request}}": quantile(0.95, "customer_sync_upstream_request_duration_seconds", "request"),
            },
        ),
        Panel(
            "Budget",
            "short",
            "Requests left in the window, and in a whole one.",
            {
                "left": total("customer_sync_budget_remaining_requests", how="min"),
                "limit": total("customer_sync_budget_limit_requests", how="min"),
            },
        ),
        Panel(
            "Cost",
            "short",
            "Commands settled by one turn, and requests for one command.",
            {
                "commands a turn": f"1 + {rate('customer_sync_commands_folded_total')} / "
                f"({rate('customer_sync_turns_settled_total')} > 0)",
                "requests a command": total("customer_sync_requests_per_command", how="avg"),
            },
        ),
        Panel(
            "Circuits and hold",
            "bool_on_off",
            "While one is on, commands wait.",
            {
                "{{request}}": total("customer_sync_circuit_open", "request", "max"),
                "hold": total("customer_sync_held", how="max"),
            },
        ),
        Panel(
            "Turns in flight",
            "short",
            "Customers whose requests are under way, and how many may be.",
            {
                "in flight": total("customer_sync_turns_in_flight"),
                "limit": total("customer_sync_turns_in_flight_limit"),
                "retries wait": total("customer_sync_lanes_retrying"),
            },
        ),
        Panel(
            "Retries",
            "ops",
            "Attempts that failed and are tried again.",
            {"retries": rate("customer_sync_retries_total")},
        ),
    ),
    "Kafka and the processes": (
        Panel(
            "Commits",
            "ops",
            "Successful ones, and attempts that were not.",
            {
                "commits": rate("customer_sync_commit_duration_seconds_count"),
                "{{failure}}": rate("customer_sync_commit_failures_total", "failure"),
            },
        ),
        Panel(
            "Time to commit",
            "s",
            "Of outcomes with their offset.",
            {
                "half": quantile(0.5, "customer_sync_commit_duration_seconds"),
                "95 %": quantile(0.95, "customer_sync_commit_duration_seconds"),
            },
        ),
        Panel(
            "Partitions",
            "short",
            "Worked on by each replica, and what the topic has.",
            {
                "{{instance}}": total("customer_sync_partitions", "instance"),
                "topic": total("customer_sync_topic_partitions", how="max"),
            },
        ),
        Panel(
            "Rebalances and fences",
            "short",
            "In a quarter of an hour.",
            {
                "rebalances": f"max (increase(customer_sync_rebalances_total{{{OF_JOB}}}[15m]))",
                "fences": f"sum (increase(customer_sync_fences_total{{{OF_JOB}}}[15m]))",
            },
        ),
        Panel(
            "Event loop",
            "s",
            "How late it runs.",
            {"{{instance}}": quantile(0.9, "customer_sync_loop_delay_seconds", "instance")},
        ),
        Panel("Memory", "bytes", "Resident.", {"{{instance}}": total("process_resident_memory_bytes", "instance")}),
        Panel("CPU", "percentunit", "Of one core.", {"{{instance}}": rate("process_cpu_seconds_total", "instance")}),
    ),
}


def document() -> str:
    """The dashboard as JSON."""
    source = dashboard.DatasourceVariable("source").label("Source").type("prometheus")
    job = (
        dashboard.QueryVariable("job")
        .label("Deployment")
        .datasource(SOURCE)
        .query("label_values(customer_sync_build_info, job)")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .include_all(True)
        .multi(True)
    )
    board = (
        dashboard.Dashboard("customer-sync")
        .uid("customer-sync")
        .description("Commands, the upstream they are applied to, and the replicas that do it.")
        .tags(["customer-sync"])
        .readonly()
        .refresh("30s")
        .time("now-3h", "now")
        .with_variable(source)
        .with_variable(job)
    )
    for title, panels in PANELS.items():
        board = board.with_row(dashboard.Row(title))
        for panel in panels:
            board = board.with_panel(_figure(panel) if title == NOW else _picture(panel))
    return JSONEncoder(sort_keys=True, indent=2).encode(board.build()) + "\n"


def _queries(panel: Panel) -> list[prometheus.Dataquery]:
    return [
        prometheus.Dataquery().expr(query).legend_format(legend).ref_id(letter)
        for letter, (legend, query) in zip(ascii_uppercase, panel.queries.items(), strict=False)
    ]


def _figure(panel: Panel) -> stat.Panel:
    built = stat.Panel().title(panel.title).description(panel.meaning).unit(panel.unit).datasource(SOURCE)
    built = built.height(4).span(3).graph_mode(BigValueGraphMode.AREA)
    built = built.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    for query in _queries(panel):
        built = built.with_target(query)
    return built


def _picture(panel: Panel) -> timeseries.Panel:
    built = timeseries.Panel().title(panel.title).description(panel.meaning).unit(panel.unit).datasource(SOURCE)
    legend = common.VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM)
    built = built.height(8).span(8).min(0).fill_opacity(10).legend(legend.show_legend(True))
    for query in _queries(panel):
        built = built.with_target(query)
    return built


if __name__ == "__main__":
    sys.stdout.write(document())
