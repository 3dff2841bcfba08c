"""A process watched from outside, second by second: memory, open files, and what it says of itself."""

import csv
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from statistics import median

MEBIBYTE = 1024 * 1024
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 760, 220, 60, 30


@dataclass(frozen=True, slots=True)
class Sample:
    """A moment: *seconds* since the start; -1 where the process did not answer (frozen, or gone)."""

    seconds: float
    resident_mebibytes: float
    files: int
    tasks: int
    outcomes: int


class Sampler:
    """Samples the process *pid*, whose metrics are at *url*."""

    def __init__(self, pid: int, url: str) -> None:
        self._process = Path(f"/proc/{pid}")
        self._url = url
        self._began = time.monotonic()
        self.samples: list[Sample] = []

    def sample(self, *, outcomes: int) -> Sample:
        """Looks, and remembers. *outcomes* is how many commands were settled by then, for the record."""
        status = (self._process / "status").read_text(encoding="ascii")
        resident = int(status.partition("VmRSS:")[2].split()[0]) / 1024
        files = len(list((self._process / "fd").iterdir()))
        seconds = time.monotonic() - self._began
        found = Sample(seconds, resident, files, int(self._metric("customer_sync_tasks")), outcomes)
        self.samples.append(found)
        return found

    def median(self, name: str, since: float, until: float) -> float:
        """The median of one attribute over the samples between the two moments; NaN where there are none."""
        found = [getattr(one, name) for one in self.samples if since <= one.seconds < until]
        return median([one for one in found if one >= 0] or [float("nan")])

    def write(self, folder: Path, *, title: str, faults: Sequence[tuple[float, str]]) -> None:
        """All samples as a table, and the memory as a picture with a mark for each of *faults*."""
        with (folder / "samples.csv").open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow([field.name for field in fields(Sample)])
            rows.writerows(astuple(one) for one in self.samples)
        picture = memory_picture(self.samples, title=title, faults=faults)
        (folder / "memory.svg").write_text(picture, encoding="utf-8")

    def _metric(self, name: str) -> float:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"{self._url}/metrics", timeout=1) as response:
                lines = response.read().decode().splitlines()
        except OSError:
            return -1
        return next((float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"{name} ")), -1)


def memory_picture(samples: Sequence[Sample], *, title: str, faults: Sequence[tuple[float, str]]) -> str:
    """Resident memory over time as an SVG, from zero on."""
    last = max((one.seconds for one in samples), default=1.0)
    most = max((one.resident_mebibytes for one in samples), default=1.0) * 1.15

    def x(seconds: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - 10) * seconds / last

    def y(mebibytes: float) -> float:
        return (_HEIGHT - _BOTTOM) * (1 - mebibytes / most) + 5

    step = max(len(samples) // 1500, 1)
    points = " ".join(f"{x(one.seconds):.1f},{y(one.resident_mebibytes):.1f}" for one in samples[::step])
    marks = [f'<path d="M{x(at):.1f} {y(0):.0f}v-6" class="fault"><title>{what}</title></path>' for at, what in faults]
    levels = [most / 1.15 * part for part in (0.0, 0.5, 1.0)]
    lines = [f'<path d="M{_LEFT} {y(level):.1f}H{_WIDTH - 10}" class="level"/>' for level in levels]
    labels = [f'<text x="{_LEFT - 6}" y="{y(level) + 4:.1f}" text-anchor="end">{level:.0f}</text>' for level in levels]
    minutes = [last / 60 * part for part in (0.0, 0.5, 1.0)]
    labels += [
        f'<text x="{x(minute * 60):.1f}" y="{_HEIGHT - 8}" text-anchor="middle">{minute:.0f} min</text>'
        for minute in minutes
    ]
    style = (
        "text{font:12px system-ui,sans-serif;fill:#64748b}polyline{fill:none;stroke:#2563eb;stroke-width:1.5}"
        ".level{stroke:#94a3b8;stroke-width:.5}.fault{stroke:#dc2626;stroke-width:1.5}"
    )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"><title>{title}</title>'
    parts = [f"<style>{style}</style>", *lines, *labels, *marks, f'<polyline points="{points}"/>', "</svg>"]
    return "\n".join([head, *parts, ""])
