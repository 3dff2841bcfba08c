"""The measurements as a page for people: medians, ratios within the run, a picture, and what it was measured on."""

import os
import platform
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import median
from xml.sax.saxutils import escape

from benchmarks.contestants import CONTESTANTS
from benchmarks.measuring import Measurement
from benchmarks.scenarios import SCENARIOS, Scenario

_HEAD = """\
Written by `make bench`; do not edit. Figures are medians of {rounds}, all contestants in turn within each.
The machine may be shared: only ratios within one run mean something."""
_COLUMNS = """\
## What the columns mean

- **commands/s**: from the broker's timestamps of the events, without the first and the last 5 %. The limit is what
  physics allows without coalescing: in flight ÷ (2 × latency), or the rate at which commands are sent.
- **of the formula**: of what [capacity.md](capacity.md) expects of the worker with the requests and the CPU seconds
  per command that were measured.
- **p50, p99**: from handing a command to the producer until a reader of committed records has its event. Where
  everything is published at once, this is mostly waiting.
- **CPU s**: of the contestant's process for 1,000 commands, from the publication on; start and warm-up are not in it.
  **peak**: its largest resident set.
- **requests**: sent upstream for each command; without coalescing there are 2.
- **twice**: commands with more than one outcome; **back**: requests that moved a customer back to an older state."""
_TABLE_HEAD = (
    "| contestant | commands/s | of the worker's | of the limit | of the formula | p50 ms | p99 ms | CPU s | peak MiB "
    "| requests | twice | back |"
)
_JUDGED = """\
## What was judged

Each run was judged from the topics and from what the upstream saw: every command has one outcome, the outcomes of a
customer are in order, no customer has two requests at a time or moves back, and each has its last change."""

Row = Mapping[str, float | None]

_PICTURE = "performance.svg"
_BAR_HEIGHT, _BAR_WIDTH, _LABEL_WIDTH, _TITLE_HEIGHT = 22, 420, 170, 34


@dataclass(frozen=True, slots=True)
class Setting:
    """What the measurements were taken on. *load_before*: the load average when they began."""

    kafka: str
    command: str
    load_before: float


def write(results: Sequence[Measurement], setting: Setting, *, into: Path) -> None:
    """Writes performance.md and its picture into the folder *into*."""
    (into / _PICTURE).write_text(picture(results), encoding="utf-8")
    (into / "performance.md").write_text(page(results, setting), encoding="utf-8")


def page(results: Sequence[Measurement], setting: Setting) -> str:
    """The page in Markdown."""
    rounds = max(Counter((one.scenario, one.contestant) for one in results).values())
    breaches = [f"- {one.contestant}, {one.scenario}: {', '.join(one.breaches)}" for one in results if one.breaches]
    measured_on = (
        f"On {_machine()}, load average {setting.load_before:.1f} before it began; {setting.kafka}; {_versions()}; "
        f"{date.today().isoformat()}, `{setting.command}`. "  # noqa: DTZ011
        "The upstream is `benchmarks/upstream.py`, a process of its own that answers after a fixed time: the "
        "simulated one of the demo would cost more than the worker. One partition; up to 256 customers in flight."
    )
    parts = [
        "# Performance",
        _HEAD.format(rounds=f"{rounds} round{'s' * (rounds > 1)}"),
        f"![Commands per second of each contestant, and the limit]({_PICTURE})",
        *(_section(scenario, results) for scenario in _in_order(results)),
        _COLUMNS,
        _JUDGED,
        "\n".join(["These breaches were found:", "", *breaches]) if breaches else "No breach was found.",
        "## What was measured",
        "\n".join(f"- `{name}`: {CONTESTANTS[name].meaning}." for name in _contestants(results)),
        measured_on,
    ]
    return "\n\n".join(parts) + "\n"


def picture(results: Sequence[Measurement]) -> str:
    """Bars for each scenario, as SVG; the line in each group is the limit."""
    shapes: list[str] = []
    y = 0
    for scenario in _in_order(results):
        rows = {name: _medians(results, scenario.name, name) for name in _contestants(results, scenario.name)}
        rates = {name: row["rate"] or 0.0 for name, row in rows.items()}
        scale = _BAR_WIDTH / max([scenario.limit_per_second, *rates.values()])
        title = f"{scenario.meaning}, {scenario.latency_ms} ms a request"
        shapes.append(f'<text x="0" y="{y + 22}" class="title">{escape(title)}</text>')
        y += _TITLE_HEIGHT
        top = y
        for name, rate in rates.items():
            color = "#2563eb" if CONTESTANTS[name].is_worker else "#94a3b8"
            width = max(rate * scale, 1)
            shapes += [
                f'<text x="{_LABEL_WIDTH - 8}" y="{y + 15}" text-anchor="end">{escape(name)}</text>',
                f'<rect x="{_LABEL_WIDTH}" y="{y + 2}" width="{width:.0f}" height="{_BAR_HEIGHT - 4}" fill="{color}"/>',
                f'<text x="{_LABEL_WIDTH + width + 6:.0f}" y="{y + 15}">{rate:,.0f}/s</text>',
            ]
            y += _BAR_HEIGHT
        limit = _LABEL_WIDTH + scenario.limit_per_second * scale
        shapes.append(f'<line x1="{limit:.0f}" x2="{limit:.0f}" y1="{top}" y2="{y}" class="limit"/>')
        y += 10
    width = _LABEL_WIDTH + _BAR_WIDTH + 80
    style = (
        "text{font:13px system-ui,sans-serif;fill:#64748b}.title{font-weight:600}"
        ".limit{stroke:#dc2626;stroke-width:2;stroke-dasharray:4 3}"
    )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y}" width="{width}" height="{y}" role="img">'
    label = "<title>Commands per second; the dashed line is the limit without coalescing</title>"
    return "\n".join([head, label, f"<style>{style}</style>", *shapes, "</svg>", ""])


def _section(scenario: Scenario, results: Sequence[Measurement]) -> str:
    lines = [
        f"## {scenario.meaning}, {scenario.latency_ms} ms a request",
        "",
        f"Limit without coalescing: {scenario.limit_per_second:,.0f}/s.",
        "",
        _TABLE_HEAD,
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    names = _contestants(results, scenario.name)
    first = _medians(results, scenario.name, names[0])["rate"] or 1.0
    for name in names:
        row = _medians(results, scenario.name, name)
        rate = row["rate"] or 0.0
        cells = [
            name,
            f"{rate:,.0f}",
            f"{rate / first:.2f}",
            f"{rate / scenario.limit_per_second:.2f}",
            _number(_of_the_formula(scenario, row) if CONTESTANTS[name].is_worker else None, 2),
            _number(row["p50_ms"], 0),
            _number(row["p99_ms"], 0),
            _number(row["cpu_seconds_per_1000"], 2),
            _number(row["peak_mebibytes"], 0),
            _number(row["requests_per_command"], 2),
            _number(row["outcomes_twice"], 0),
            _number(row["moved_back"], 0),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _medians(results: Sequence[Measurement], scenario: str, contestant: str) -> Row:
    found = [one for one in results if (one.scenario, one.contestant) == (scenario, contestant)]

    def middle(name: str) -> float | None:
        values = [value for one in found if (value := getattr(one, name)) is not None]
        return median(values) if values else None

    names = (
        *("rate", "p50_ms", "p99_ms", "cpu_seconds_per_1000", "peak_mebibytes", "requests_per_command"),
        *("outcomes_twice", "moved_back"),
    )
    return {name: middle(name) for name in names}


def _of_the_formula(scenario: Scenario, row: Row) -> float | None:
    """The rate as a part of what docs/capacity.md expects; None where that was not measured."""
    rate, requests, cpu_seconds = row["rate"], row["requests_per_command"], row["cpu_seconds_per_1000"]
    if not rate or not requests or not cpu_seconds:
        return None
    by_latency = scenario.in_flight / (requests * scenario.latency_ms / 1000)
    expected = min(by_latency, 1000 / cpu_seconds)
    return rate / min(expected, scenario.per_second or expected)


def _in_order(results: Sequence[Measurement]) -> list[Scenario]:
    return [SCENARIOS[name] for name in dict.fromkeys(one.scenario for one in results)]


def _contestants(results: Sequence[Measurement], scenario: str | None = None) -> list[str]:
    return list(dict.fromkeys(one.contestant for one in results if scenario in (None, one.scenario)))


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def _machine() -> str:
    try:
        info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        model = info.partition("model name\t: ")[2].partition("\n")[0]
    except OSError:
        model = platform.processor()
    return f"{platform.system()} {platform.machine()}, {model or 'processor unknown'}, {os.cpu_count()} cores"


def _versions() -> str:
    java = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr.partition("\n")[0]
    libraries = [f"{name} {version(name)}" for name in ("aiokafka", "faststream", "aiohttp", "confluent-kafka")]
    return ", ".join([f"Python {platform.python_version()}", *libraries, *([java] if java else [])])
