"""The demo: a small firm's day on this machine alone, watched live and accounted for in the end."""

import asyncio
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final, TypeAlias

from aiohttp import ClientError
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.text import Text

from worker.demo.account import Finding, Outcome, audit, audit_upstream
from worker.demo.day import Day
from worker.demo.film import Film
from worker.demo.lines import Lines
from worker.demo.observer import Observer, observer
from worker.demo.picture import LEAST_COLUMNS, LEAST_ROWS, listing
from worker.demo.screen import Screen
from worker.demo.stage import PartFailed, Stage, stage
from worker.demo.summary import print_invitation, print_next, print_summary
from worker.demo.traffic import DAY, FIRMS, Scene
from worker.demo.wording import brief

_DRAW_EVERY_SECONDS: Final = 0.1
_LONGEST_SCENE_SECONDS: Final = 30.0
_MEANWHILE_SECONDS: Final = 0.35
_STARTING: Final = "An embedded Kafka, a simulated upstream and the real worker are starting on this machine."
_COUNTING: Final = "The day is over. What was sent is compared with what came out of it."

Show: TypeAlias = Screen | Lines | Film


def run_demo(*, keep: bool = False, film: Path | None = None) -> int:
    """Plays the day and returns the exit code: 0 where every command is accounted for, 1 where not.

    With *keep* everything then runs on until Ctrl-C. With *film* the picture is written to that file, as SVG, instead
    of being shown. Interrupted before its end it returns 128 + the signal's number.
    """
    exit_code = 1
    try:
        exit_code = asyncio.run(_Demo(keep=keep, film=film).run())
    except* BrokenPipeError:
        # Whoever read the lines has gone; at its end the interpreter must not try to write the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return exit_code


class _Demo:
    def __init__(self, *, keep: bool, film: Path | None) -> None:
        self._keep = keep
        self._film = film
        self._began = time.monotonic()
        self._day = Day(DAY)
        self._console = Console(highlight=False, markup=False, emoji=False)
        self._program = _program()
        self._stage: Stage | None = None
        self._signal = 0
        self._exit_code: int | None = None
        self._first_event_seconds: float | None = None

    async def run(self) -> int:
        """The exit code."""
        async with asyncio.TaskGroup() as tasks:
            performing = tasks.create_task(self._perform())
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                asyncio.get_running_loop().add_signal_handler(number, self._on_signal, number, performing)
        if self._exit_code is None:
            self._console.print("Stopped before the end of the day. Nothing is left running.")
            return 128 + self._signal
        return self._exit_code

    def _on_signal(self, number: int, task: "asyncio.Task[None]") -> None:
        if not self._signal:
            self._signal = number
            task.cancel()
        elif self._stage is not None:
            self._stage.kill()

    async def _perform(self) -> None:
        try:
            async with stage() as self._stage, AsyncExitStack() as connections:
                with self._show() as show:
                    self._day.narration = _STARTING
                    show.draw(self._day)
                    await self._stage.start()
                    if isinstance(show, Lines):
                        show.say(self._stage.describe())
                    watcher = await connections.enter_async_context(observer(self._stage, self._day))
                    findings = await self._watch(self._stage, watcher, show)
                if isinstance(show, Screen):
                    self._console.print(listing(self._day, self._console.width))
                self._conclude(self._stage, findings)
                if self._keep:
                    await self._keep_running(self._stage, watcher)
        except* (PartFailed, ClientError, KafkaError) as failed:
            self._exit_code = 1
            for text in _causes(failed):
                self._console.print(Text(text, "red"), soft_wrap=True)

    def _show(self) -> Show:
        if self._film is not None:
            return Film(self._film, time.monotonic)
        columns, rows = self._console.size
        is_roomy = columns >= LEAST_COLUMNS and rows >= LEAST_ROWS
        if self._console.is_terminal and not self._console.is_dumb_terminal and is_roomy:
            return Screen(self._console)
        return Lines(sys.stdout)

    async def _watch(self, built: Stage, watcher: Observer, show: Show) -> Sequence[Finding]:
        """Plays the day and looks on; returns what is wrong at its end."""
        async with asyncio.TaskGroup() as tasks:
            looking_on = [
                tasks.create_task(built.watch()),
                tasks.create_task(watcher.follow(self._heed)),
                tasks.create_task(watcher.look()),
                tasks.create_task(self._draw(show)),
            ]
            await self._play(watcher)
            await watcher.until_all_is_read()
            sent, outcomes = self._day.sent, self._day.outcomes
            findings = audit(sent, outcomes)
            findings += audit_upstream(FIRMS, sent, outcomes, await watcher.upstream_state())
            show.draw(self._day)
            for task in looking_on:
                task.cancel()
        return findings

    async def _draw(self, show: Show) -> None:
        while True:
            show.draw(self._day)
            await asyncio.sleep(_DRAW_EVERY_SECONDS)

    def _heed(self, outcomes: Sequence[Outcome]) -> None:
        self._day.read(outcomes)
        if self._first_event_seconds is None and any(outcome.is_event for outcome in outcomes):
            self._first_event_seconds = time.monotonic() - self._began

    async def _play(self, watcher: Observer) -> None:
        """One scene after the other; ends early where commands stay without outcomes, which the audit then finds."""
        for scene in self._day.scenes:
            try:
                async with asyncio.timeout(_LONGEST_SCENE_SECONDS):
                    await self._play_scene(scene, watcher)
            except TimeoutError:
                return
        self._day.narration = _COUNTING

    async def _play_scene(self, scene: Scene, watcher: Observer) -> None:
        self._day.begin(scene)
        began = time.monotonic()
        await watcher.control(faults=list(scene.faults))
        for line in scene.lines:
            await watcher.publish(self._day.add(line))
            await asyncio.sleep(scene.pause_seconds)
        if scene.outage_seconds is not None:
            await asyncio.sleep(began + scene.outage_seconds - time.monotonic())
            await watcher.control(faults=[])
            self._day.narration = scene.afterwards
        awaited = list(self._day.rows)
        for line in scene.meanwhile:
            if all(row.is_settled for row in awaited):
                break
            await watcher.publish(self._day.add(line))
            await asyncio.sleep(_MEANWHILE_SECONDS)
        await watcher.until_settled()
        await asyncio.sleep(scene.reading_seconds)

    def _conclude(self, built: Stage, findings: Sequence[Finding]) -> None:
        self._exit_code = 1 if findings else 0
        print_summary(
            self._console,
            self._day,
            findings,
            first_event_seconds=self._first_event_seconds,
            seconds=time.monotonic() - self._began,
        )
        if findings:
            self._console.print(" What the worker logged last:")
            for line in built.last_words_of("worker"):
                self._console.print(Text(line, "dim"), soft_wrap=True)
        elif not self._keep:
            print_next(self._console, self._program)

    async def _keep_running(self, built: Stage, watcher: Observer) -> None:
        """Until a signal comes, or a process ends by itself; says what becomes of whatever is sent meanwhile."""
        print_invitation(self._console, built, self._program)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(built.watch())
            tasks.create_task(watcher.follow(self._report))

    def _report(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            if outcome.is_event:
                told = Text.assemble(" event        ", (outcome.header("ce_subject"), "green"))
            else:
                told = Text.assemble(" dead letter  ", (str(outcome.reason), "magenta"), f"  {brief(outcome.error)}")
            self._console.print(told, soft_wrap=True)


def _causes(group: BaseExceptionGroup[Exception]) -> Sequence[str]:
    """What happened, and the last that the process said."""
    causes: list[str] = []
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            causes += _causes(error)
        else:
            causes += [str(error), *getattr(error, "__notes__", ())]
    return causes


def _program() -> str:
    """How this program was called, to be called again."""
    called = Path(sys.argv[0])
    if called.name != "customer-sync":
        return f"{sys.executable} -m worker"
    return "customer-sync" if shutil.which("customer-sync") == str(called.absolute()) else str(called)
