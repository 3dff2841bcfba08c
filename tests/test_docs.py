"""The documents say what is true: links lead somewhere, names exist, commands can be typed, tables are complete."""

import ast
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import typer
from jsonschema import Draft202012Validator  # type: ignore[import-untyped] # it has no types of its own
from typer._click.core import Command, Context
from typer._click.exceptions import UsageError

from handlers.command import decode
from handlers.faults import Reason
from handlers.fields import CHANGEABLE_FIELDS, RESPONSE_FIELDS
from handlers.record import CommandRecord
from handlers.schema import response_schema
from harness.markdown import ROOT, Block, Document, documents
from worker.cli.app import app
from worker.operations.http import routes
from worker.settings import SECRETS, Settings, variable_of
from worker.telemetry.catalogue import DECLARATIONS, markdown

DOCUMENTS = documents()
VARIABLES = {variable_of(name) for name in Settings.model_fields} | {f"{variable_of(name)}_FILE" for name in SECRETS}
COMPOSE_PORTS = {"KAFKA_PORT", "UPSTREAM_PORT", "WORKER_1_PORT", "WORKER_2_PORT"}
NO_SETTINGS = {"TEST_BROKER", "SSL_CERT_FILE", "SASL_PLAINTEXT", "SASL_SSL", *COMPOSE_PORTS}
"""Variables of the tests and of other programs, and values."""


def all_documents() -> pytest.MarkDecorator:
    """The test is run for each document."""
    return pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)


def blocks(*languages: str) -> list["pytest.ParameterSet"]:
    """Every block of code in one of *languages*, each a case of its own."""
    return [pytest.param(block, id=block.place) for document in DOCUMENTS for block in document.blocks(*languages)]


def document(name: str) -> Document:
    """The document at this path."""
    return Document(ROOT / name)


@all_documents()
def test_every_link_leads_somewhere(document: Document) -> None:
    """Files exist, and so do the headings that are linked to."""
    broken = []
    for link in document.links():
        path, _, anchor = link.target.partition("#")
        if "://" in path:
            continue
        target = (document.path.parent / path).resolve() if path else document.path
        if not target.exists() or (anchor and anchor not in Document(target).anchors()):
            broken.append(link.target)

    assert broken == []


@all_documents()
def test_every_test_that_is_named_exists(document: Document) -> None:
    """A link whose text is a test's name leads to the file of that test."""
    missing = [
        link.text
        for link in document.links()
        if (link.target.endswith(".py") and re.fullmatch(r"test_\w+|[A-Z]\w+", link.text))
        and not re.search(
            rf"^\s*(async def|def|class) {link.text}\b", (document.path.parent / link.target).read_text(), re.MULTILINE
        )
    ]

    assert missing == []


@all_documents()
def test_every_path_that_is_named_exists(document: Document) -> None:
    """In backticks, from the root of the project."""
    top = "handlers|worker|tests|docs|deploy|scripts|benchmarks"
    named = [span for span in document.code_spans() if re.fullmatch(rf"(?:{top})/[\w./-]*", span)]

    assert [path for path in named if not (ROOT / path).exists()] == []


@all_documents()
def test_every_variable_that_is_named_is_a_setting(document: Document) -> None:
    """In backticks, with or without a value."""
    spans = [re.fullmatch(r"([A-Z]+(?:_[A-Z]+)+)(?:=.*)?", span) for span in document.code_spans()]

    assert {found[1] for found in spans if found} - VARIABLES - NO_SETTINGS == set()


@pytest.mark.parametrize("block", blocks("sh"))
def test_commands_can_be_typed_as_they_stand(block: Block) -> None:
    """Commands, arguments and options of the command line exist, and so do the targets of make."""
    for words in simple_commands(block.code):
        if Path(words[0]).name == "customer-sync":
            parse(typer.main.get_command(app), words[1:])
        elif words[0] == "make":
            targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
            assert set(words[1:]) <= targets
        elif words[:2] == ["docker", "run"]:
            set_by_name = [value.partition("=")[0] for option, value in pairwise(words) if option == "-e"]
            assert set(set_by_name) <= VARIABLES


@pytest.mark.parametrize("block", blocks("python"))
def test_python_compiles(block: Block) -> None:
    """Also what is too short to run; what can be run is run by test_docs_examples.py."""
    compile(block.code, block.place, "exec")


@pytest.mark.parametrize("block", blocks("json"))
def test_json_is_what_it_shows(block: Block) -> None:
    """A command that is read, or an event that fits its schema, with its fields in order."""
    shown = json.loads(block.code)
    if "changes" in shown or "specversion" in shown:
        key = shown.get("data", shown)["customer_id"].encode()
        decode(CommandRecord("customer.update", 0, 0, 0, key, block.code.encode()))
    else:
        Draft202012Validator(response_schema()).validate(shown)
        assert tuple(shown) == RESPONSE_FIELDS


@pytest.mark.parametrize("block", blocks("yaml"))
def test_manifests_name_what_exists(block: Block) -> None:
    """Settings, pages, the port; and more time to stop than the worker takes."""
    served = {path for path, _ in routes(lambda: None, None, lambda _: None, {})}  # type: ignore[arg-type,return-value]  # nobody asks

    assert set(re.findall(r"name: ([A-Z_]+)", block.code)) <= VARIABLES
    assert set(re.findall(r"path: (/\w+)[,}]", block.code)) <= served
    assert f"containerPort: {Settings.model_fields['http_port'].default}" in block.code
    (grace,) = re.findall(r"terminationGracePeriodSeconds: (\d+)", block.code)
    assert int(grace) > Settings.model_fields["shutdown_grace_seconds"].default


def test_lists_are_those_of_the_code() -> None:
    """Every module is in the file map, every decision in the list of them; `make docs` renews both."""
    subprocess.run([sys.executable, ROOT / "scripts" / "renew-lists", "--check"], check=True)


def test_metrics_are_those_that_are_declared() -> None:
    """`make docs` renews docs/metrics.md."""
    assert document("docs/metrics.md").text == markdown()


@all_documents()
def test_every_metric_that_is_named_exists(document: Document) -> None:
    """In backticks."""
    named = [span for span in document.code_spans() if re.fullmatch(r"customer_sync_\w+", span)]

    assert set(named) <= {declared.name for declared in DECLARATIONS}


def test_every_event_of_the_log_is_described() -> None:
    """Those below INFO are for whoever reads the code."""
    rows = document("docs/operating.md").table("event", "meaning")

    assert {name for cell, _ in rows for name in re.findall(r"`(\w+)`", cell)} == set(logged_events())


def test_every_reason_of_a_dead_letter_has_somebody_who_acts() -> None:
    """An operator finds each."""
    rows = document("docs/operating.md").table("`dlq-reason`", "who has to act", "what to do")

    assert {reason for cell, *_ in rows for reason in re.findall(r"`(\w+)`", cell)} == set(Reason)


def test_every_field_that_can_be_changed_is_listed() -> None:
    """In backticks, in the text for publishers."""
    assert set(CHANGEABLE_FIELDS) <= set(document("docs/publishing.md").code_spans())


def test_decisions_are_numbered() -> None:
    """The number of the file is that of the heading, none is left out, and each says what was rejected."""
    decisions = [one for one in DOCUMENTS if re.match(r"docs/decisions/\d", one.name)]

    assert [int(one.path.name[:4]) for one in decisions] == list(range(1, len(decisions) + 1))
    for one in decisions:
        assert {"context", "decision", "consequences", "rejected"} <= one.anchors(), one.name
        assert one.text.startswith(f"# {int(one.path.name[:4])}. ")


def test_glossary_is_in_order() -> None:
    """A term is found where it is looked for."""
    terms = re.findall(r"^- \*\*(.+?)\*\*", document("docs/glossary.md").text, re.MULTILINE)

    assert terms == sorted(terms, key=str.lower)


def simple_commands(script: str) -> Iterator[list[str]]:
    """The words of each command of a shell script, without what is set before it; comments are left out."""
    for line in script.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if word not in ("|", "||", "&&", ";"):
                words.append(word)
                continue
            while words and re.match(r"[A-Za-z_]+=", words[0]):
                name = words.pop(0).partition("=")[0]
                assert name.islower() or name in VARIABLES
            if words:
                yield words
            words = []


def parse(command: Command, arguments: list[str]) -> None:
    """Fails where the command line would refuse *arguments*; runs nothing."""
    try:
        context: Context = command.make_context("customer-sync", list(arguments))
        rest = [*context._protected_args, *context.args]
        if rest:
            name, subcommand, left = command.resolve_command(context, rest)  # type: ignore[attr-defined]  # a group
            assert subcommand is not None, name
            parse(subcommand, left)
    except UsageError as refused:
        pytest.fail(f"customer-sync {shlex.join(arguments)}: {refused.format_message()}")


def logged_events() -> Iterator[str]:
    """The name of everything that the worker itself logs at INFO or above."""
    for module in (ROOT / "worker").rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            if isinstance(node.func, ast.Name) and node.func.id == "info_together":
                yield ast.literal_eval(node.args[0])
            if not isinstance(node.func, ast.Attribute):
                continue
            logger, level = node.func.value, node.func.attr
            if isinstance(logger, ast.Name) and logger.id in ("log", "_log") and level not in ("debug", "bind"):
                names = [word.value for word in node.args if isinstance(word, ast.Constant) and type(word.value) is str]
                yield from names[:1]
