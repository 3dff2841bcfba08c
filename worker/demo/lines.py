"""The day as plain lines, for logs and pipes: each is written once, when there is something to say."""

from typing import Final, Self, TextIO

from worker.demo.day import Day, Fate
from worker.demo.wording import told

_WORTH_A_LINE: Final = {Fate.RETRYING, Fate.EVENT, Fate.DEAD_LETTER}


class Lines:
    """Writes what is new since it was last asked, without any control codes."""

    def __init__(self, output: TextIO) -> None:
        self._output = output
        self._narration = ""
        self._open_circuits: tuple[str, ...] = ()
        self._said: set[tuple[int, Fate]] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._output.flush()

    def say(self, text: str) -> None:
        """Writes a line."""
        print(text, file=self._output, flush=True)

    def draw(self, day: Day) -> None:
        """Writes what is new."""
        clock = day.scene.clock if day.scene else "     "
        if day.narration != self._narration:
            self._narration = day.narration
            self.say(f"\n{clock}  {day.narration}")
        circuits = tuple(day.worker.open_circuits) if day.worker else ()
        if circuits != self._open_circuits:
            self._open_circuits = circuits
            self.say(f"{clock}  circuit {'open: ' + ', '.join(circuits) if circuits else 'closed'}")
        for number, row in enumerate(day.rows):
            now = told(day, row)
            if now.fate not in _WORTH_A_LINE or (number, now.fate) in self._said:
                continue
            if now.fate is Fate.EVENT and not row.is_settled:
                continue
            self._said.add((number, now.fate))
            became = "dead letter: " + now.word if now.fate is Fate.DEAD_LETTER else now.word
            detail = row.outcomes[-1].error if now.fate is Fate.DEAD_LETTER else now.detail
            self.say(
                f"{row.scene.clock}  {row.line.who}: {row.line.what} -> {became}{f' ({detail})' if detail else ''}"
            )
