"""Every metric, declared once: its name, kind, unit, labels and meaning; docs/metrics.md is made from here.

No label holds an identifier of a customer, a command or a publisher: each has a bounded set of values.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import prod

from handlers.faults import Reason

PREFIX = "customer_sync_"


class Kind(StrEnum):
    """What Prometheus calls the type of a metric."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Label:
    """What tells the series of a metric apart: all its *values*, or in words what bounds their number."""

    name: str
    values: tuple[str, ...] = ()
    bound: str = ""


@dataclass(frozen=True, slots=True)
class Declaration:
    """One metric. *buckets*, of a histogram, are upper bounds in its unit."""

    short_name: str
    kind: Kind
    unit: str
    meaning: str
    labels: tuple[Label, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def name(self) -> str:
        """As Prometheus has it."""
        return PREFIX + self.short_name

    def most_series(self, partitions: int) -> int:
        """How many series it can have in a process that holds so many partitions."""
        # A histogram has its buckets, the one without end, its sum and its count.
        series = len(self.buckets) + 3 if self.kind is Kind.HISTOGRAM else 1
        return series * prod(len(label.values) or (partitions if label is PARTITION else 1) for label in self.labels)


def _counter(name: str, unit: str, meaning: str, *labels: Label) -> Declaration:
    return Declaration(name, Kind.COUNTER, unit, meaning, labels)


def _gauge(name: str, unit: str, meaning: str, *labels: Label) -> Declaration:
    return Declaration(name, Kind.GAUGE, unit, meaning, labels)


def _histogram(name: str, meaning: str, buckets: Sequence[float], *labels: Label) -> Declaration:
    return Declaration(name, Kind.HISTOGRAM, "seconds", meaning, labels, tuple(buckets))


PARTITION = Label("partition", bound="the partitions of the command topic that this replica holds")
REQUEST = Label("request", ("GET", "PATCH"))
OUTCOME = Label("outcome", ("event", "dead_letter"))
REASON = Label("reason", ("", *(reason.value for reason in Reason)))
ANSWER = Label(
    "answer",
    (
        "ok",
        "not_found",
        "rejected",
        "rate_limited",
        "deployment_fault",
        "contract_broken",
        "server_error",
        "timeout",
        "connect",
        "tls",
        "connection_lost",
        "protocol",
        "response_too_large",
    ),
)
FATE = Label("fate", ("exported", "failed", "dropped"))
FAILURE = Label("failure", ("failed", "uncertain", "too_large", "fenced", "refused"))
VERSION = Label("version", bound="one for each process")
DELIVERY = Label("delivery", ("exactly_once", "at_least_once"))

LIVED = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 600, 1_800, 3_600, 10_800, 43_200, 86_400, 604_800)
ASKED = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)
COMMITTED = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)
DELAYED = (0.001, 0.005, 0.01, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)

RECEIVED = _counter("commands_received_total", "commands", "Command records read from Kafka.")
SKIPPED = _counter("commands_skipped_total", "commands", "Records read again that were settled before.")
REPEATED = _counter("commands_repeated_total", "commands", "Copies of a command, settled without an outcome.")
MISPLACED = _counter(
    "commands_misplaced_total", "commands", "Commands found on another partition than murmur2 of their key says."
)
LOST_TO_RETENTION = _counter(
    "commands_lost_to_retention_total",
    "offsets",
    "Offsets that retention deleted before they were read, most of them commands.",
)
OUTCOMES = _counter(
    "outcomes_total", "commands", "Commands whose outcome is in Kafka; the reason is that of a dead letter.",
    OUTCOME, REASON,
)  # fmt: skip
COMMAND_SECONDS = _histogram(
    "command_duration_seconds", "From the time of a command's record until its outcome is in Kafka.", LIVED
)

LAG = _gauge("lag_commands", "commands", "Commands that are not settled, read or still in the log.", PARTITION)
LAG_REQUESTS = _gauge(
    "lag_requests", "requests", "Upstream requests that the lag will take, by what commands have cost lately."
)
DRAINED_AT = _gauge(
    "lag_drained_timestamp_seconds", "Unix time",
    "When the lag and what comes meanwhile will be settled at the present budget; +Inf: never, as things stand.",
)  # fmt: skip
OLDEST = _gauge(
    "oldest_command_age_seconds", "seconds", "Age of the oldest command read and not settled; 0 where none is.",
    PARTITION,
)  # fmt: skip
WAITING = _gauge("commands_waiting", "commands", "Commands in memory that are not settled.", PARTITION)
RETRYING = _gauge("lanes_retrying", "customers", "Customers whose retry waits.", PARTITION)
HELD_BYTES = _gauge("held_bytes", "bytes", "Memory counted for waiting commands.")

REQUESTS = _counter("upstream_requests_total", "requests", "Requests sent, by kind and answer.", REQUEST, ANSWER)
REQUEST_SECONDS = _histogram(
    "upstream_request_duration_seconds", "Time from sending a request to its answer.", ASKED, REQUEST
)
RETRIES = _counter("retries_total", "attempts", "Attempts that failed and are tried again.")
TURNS = _counter("turns_settled_total", "turns", "Turns of a customer that settled commands: a GET, mostly a PATCH.")
FOLDED = _counter("commands_folded_total", "commands", "Commands that shared their requests with an earlier one.")
REQUESTS_PER_COMMAND = _gauge(
    "requests_per_command", "requests", "Upstream requests per command settled, as of the last ten minutes or so."
)
IN_FLIGHT = _gauge("turns_in_flight", "customers", "Customers whose requests are under way.")
MOST_IN_FLIGHT = _gauge("turns_in_flight_limit", "customers", "As many as may be under way: fewer where it overloads.")
BUDGET_REMAINING = _gauge(
    "budget_remaining_requests", "requests",
    "Requests left in the window for all replicas together, as far as this one knows; +Inf without a limit.",
)  # fmt: skip
BUDGET_LIMIT = _gauge(
    "budget_limit_requests", "requests", "Requests in a window for all replicas together; +Inf without a limit."
)
BUDGET_WINDOW = _gauge("budget_window_seconds", "seconds", "How long a window is.")
BUDGET_SHARE = _gauge("budget_share_ratio", "0 to 1", "This replica's part of the budget.")
CIRCUIT_OPEN = _gauge(
    "circuit_open", "0 or 1", "1 while the circuit for this kind of request is open, or probes.", REQUEST
)
HELD = _gauge("held", "0 or 1", "1 while a fault of the deployment holds everything.")

COMMIT_SECONDS = _histogram(
    "commit_duration_seconds", "How long a successful commit of outcomes and their offset took.", COMMITTED
)
COMMIT_FAILURES = _counter("commit_failures_total", "commits", "Attempts to commit that did not succeed.", FAILURE)
REBALANCES = _counter("rebalances_total", "assignments", "Assignments of partitions to this worker.")
FENCES = _counter("fences_total", "partitions", "Times that another producer took over a partition held here.")
PARTITIONS = _gauge("partitions", "partitions", "Partitions that this replica holds and works on.")
TOPIC_PARTITIONS = _gauge("topic_partitions", "partitions", "Partitions that the command topic has.")

READY = _gauge("ready", "0 or 1", "1 while /readyz answers 200.")
ALIVE = _gauge("alive", "0 or 1", "1 while /livez answers 200.")
LOOP_DELAY = _histogram("loop_delay_seconds", "How late the event loop ran a timer, tried twice a second.", DELAYED)
TASKS = _gauge("tasks", "tasks", "Tasks of the event loop: at rest always as many.")
SPANS = _counter("spans_total", "spans", "Spans of traced commands, by what became of them.", FATE)
BUILD = _gauge("build_info", "1", "The version that runs, and how it delivers.", VERSION, DELIVERY)

GROUPS: dict[str, tuple[Declaration, ...]] = {
    "Commands": (RECEIVED, OUTCOMES, COMMAND_SECONDS, REPEATED, SKIPPED, MISPLACED, LOST_TO_RETENTION),
    "What waits": (LAG, LAG_REQUESTS, DRAINED_AT, OLDEST, WAITING, RETRYING, HELD_BYTES),
    "The upstream": (
        REQUESTS, REQUEST_SECONDS, RETRIES, TURNS, FOLDED, REQUESTS_PER_COMMAND, IN_FLIGHT, MOST_IN_FLIGHT,
        BUDGET_REMAINING, BUDGET_LIMIT, BUDGET_WINDOW, BUDGET_SHARE, CIRCUIT_OPEN, HELD,
    ),
    "Kafka": (COMMIT_SECONDS, COMMIT_FAILURES, REBALANCES, FENCES, PARTITIONS, TOPIC_PARTITIONS),
    "The process": (READY, ALIVE, LOOP_DELAY, TASKS, SPANS, BUILD),
}  # fmt: skip
DECLARATIONS: tuple[Declaration, ...] = tuple(declaration for group in GROUPS.values() for declaration in group)


def markdown() -> str:
    """The catalogue as docs/metrics.md."""
    lines = [
        "# Metrics",
        "",
        "Made from `worker/telemetry/catalogue.py`; a test compares. Prometheus reads them at `/metrics` of each",
        "replica, with the usual `process_…` metrics of CPU time, memory, open files and start time.",
    ]
    for title, declarations in GROUPS.items():
        lines += ["", f"## {title}", "", "| metric | type | unit | labels | meaning |", "|---|---|---|---|---|"]
        for one in declarations:
            labels = ", ".join(f"`{label.name}`" for label in one.labels) or "–"
            lines.append(f"| `{one.name}` | {one.kind} | {one.unit} | {labels} | {one.meaning} |")
    lines += ["", "## Labels", "", "| label | values |", "|---|---|"]
    for label in dict.fromkeys(label for one in DECLARATIONS for label in one.labels):
        values = ", ".join(f"`{value}`" if value else "none" for value in label.values)
        lines.append(f"| `{label.name}` | {values or label.bound} |")
    return "\n".join(lines) + "\n"
