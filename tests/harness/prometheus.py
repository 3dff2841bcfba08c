"""A real Prometheus, and its promtool: those that are installed, or else those of an image that is built here."""

import asyncio
import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.broker import free_port
from harness.markdown import ROOT
from harness.polling import wait_until
from harness.process import ManagedProcess
from harness.reaper import Reaper

OBSERVABILITY = ROOT / "deploy" / "observability"
IMAGE = "customer-sync-prometheus"


@cache
def _has_image() -> bool:
    """Whether the image can be had; it is built from Debian's package."""
    if shutil.which("docker") is None:
        return False
    build = ["docker", "build", "--quiet", "--tag", IMAGE, str(OBSERVABILITY)]
    return subprocess.run(build, capture_output=True, check=False, timeout=300).returncode == 0


def command(program: str, *arguments: str, mounted: Path) -> list[str]:
    """How to run *program* (prometheus, promtool) on the files below *mounted*, which it finds under the same path.

    Leaves the test out, and says so, where there is neither the program nor Docker.
    """
    installed = shutil.which(program)
    if installed is not None:
        return [installed, *arguments]
    if _has_image():
        options = ["--rm", "--init", "--network", "host", "--user", "0", "--volume", f"{mounted}:{mounted}:rw"]
        return ["docker", "run", *options, "--workdir", str(mounted), "--entrypoint", program, IMAGE, *arguments]
    pytest.skip(f"NOT TESTED: {program} is not installed (Debian: apt-get install prometheus), and there is no Docker")


def promtool(*arguments: str, directory: Path = OBSERVABILITY) -> str:
    """What promtool says, run in *directory*; AssertionError with what it says where it finds fault."""
    done = subprocess.run(
        command("promtool", *arguments, mounted=directory), capture_output=True, check=False, text=True, cwd=directory
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Prometheus:
    """A Prometheus that scrapes and evaluates every half second; targets may come and go while it runs."""

    def __init__(self, *, directory: Path, reaper: Reaper, rules: Mapping[str, Any]) -> None:
        """*directory* is its own."""
        self._targets_file = directory / "targets.json"
        self._targets: dict[str, list[str]] = {}
        self._write_targets()
        (directory / "rules.yaml").write_text(yaml.safe_dump(dict(rules)))
        (directory / "prometheus.yaml").write_text(
            yaml.safe_dump(
                {
                    "global": {
                        "scrape_interval": "500ms",
                        "scrape_timeout": "500ms",
                        "evaluation_interval": "500ms",
                    },
                    "rule_files": ["rules.yaml"],
                    "scrape_configs": [
                        {
                            "job_name": "customer-sync",
                            "file_sd_configs": [{"files": ["targets.json"], "refresh_interval": "1s"}],
                        }
                    ],
                }
            )
        )
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        arguments = [
            f"--config.file={directory}/prometheus.yaml",
            f"--storage.tsdb.path={directory}/data",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=warn",
        ]
        self._process = ManagedProcess(
            command("prometheus", *arguments, mounted=directory), log=directory / "prometheus.log", reaper=reaper
        )
        with self._process.starting():
            wait_until(self._is_ready, within_seconds=30, what="Prometheus is ready")

    def scrape(self, job: str, ports: Sequence[int]) -> None:
        """From now on these ports of this machine are the targets of *job*."""
        self._targets[job] = [f"127.0.0.1:{port}" for port in ports]
        self._write_targets()

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """The result of an instant query: its series, each with its labels and its value."""
        found: list[dict[str, Any]] = (await self._get("query", query=expression))["result"]
        return found

    async def firing(self) -> set[tuple[str, str]]:
        """Names and jobs of the alerts that fire now."""
        alerts: list[dict[str, Any]] = (await self._get("alerts"))["alerts"]
        return {
            (alert["labels"]["alertname"], alert["labels"].get("job", ""))
            for alert in alerts
            if alert["state"] == "firing"
        }

    def end(self) -> None:
        """Ends it."""
        self._process.end(grace_seconds=10)

    async def _get(self, path: str, **parameters: str) -> dict[str, Any]:
        return await asyncio.to_thread(_fetched, f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}")

    def _is_ready(self) -> bool:
        if self._process.returncode is not None:
            raise AssertionError(f"Prometheus ended: {self._process.output(last_lines=20)}")
        try:
            with _OPENER.open(f"{self.url}/-/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _write_targets(self) -> None:
        groups = [{"targets": targets, "labels": {"job": job}} for job, targets in self._targets.items()]
        # Renamed into its place: Prometheus may read at any moment.
        written = self._targets_file.with_suffix(".new")
        written.write_text(json.dumps(groups))
        written.rename(self._targets_file)


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _fetched(url: str) -> dict[str, Any]:
    with _OPENER.open(url, timeout=10) as answer:
        document: dict[str, Any] = json.load(answer)
    data: dict[str, Any] = document["data"]
    return data
