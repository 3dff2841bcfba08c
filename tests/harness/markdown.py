"""The project's documents: their code blocks, links, tables and headings, so that tests can hold them to the code."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[(?P<text>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<target>[^()\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
_CODE = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of code, and the line that its first line stands on."""

    document: str
    line: int
    language: str
    code: str

    @property
    def place(self) -> str:
        """Where to look: README.md:35."""
        return f"{self.document}:{self.line}"


@dataclass(frozen=True, slots=True)
class Link:
    """A link as it is written."""

    text: str
    target: str


@dataclass(frozen=True)
class Document:
    """One Markdown file."""

    path: Path

    @property
    def name(self) -> str:
        """Its path from the project's root."""
        return self.path.relative_to(ROOT).as_posix()

    @cached_property
    def text(self) -> str:
        """All of it."""
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def prose(self) -> str:
        """All but the fenced blocks."""
        return _FENCED.sub("", self.text)

    def blocks(self, *languages: str) -> list[Block]:
        """The fenced blocks in any of *languages*, in order."""
        return [
            Block(self.name, self.text.count("\n", 0, found.start(2)) + 1, found[1], found[2])
            for found in _FENCED.finditer(self.text)
            if found[1] in languages
        ]

    def links(self) -> list[Link]:
        """Every link and picture outside of code."""
        return [Link(found["text"], found["target"]) for found in _LINK.finditer(self.prose)]

    def code_spans(self) -> list[str]:
        """Whatever stands between backticks."""
        return _CODE.findall(self.prose)

    def anchors(self) -> set[str]:
        """What its headings can be linked by, as code hosts make it."""
        return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in _HEADING.findall(self.prose)}

    def table(self, *header: str) -> list[list[str]]:
        """The cells of the rows below the first table with these headings. Raises LookupError where there is none."""
        lines = self.prose.splitlines()
        for number, line in enumerate(lines):
            if _cells(line) == list(header):
                rows = lines[number + 2 :]
                end = next((index for index, row in enumerate(rows) if not row.startswith("|")), len(rows))
                return [_cells(row) for row in rows[:end]]
        message = f"{self.name} has no table with the headings {', '.join(header)}"
        raise LookupError(message)


def documents() -> list[Document]:
    """Every document of the project."""
    return [Document(path) for path in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))] if line.startswith("|") else []
