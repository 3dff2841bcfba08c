"""The commands and their help. Every command imports what it needs when it runs, so that help comes at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperCommand, TyperGroup

from worker.cli import (
    check,
    config,
    demo,
    dlq_discard,
    dlq_edit,
    dlq_exchange,
    dlq_list,
    dlq_replay,
    dlq_show,
    plan,
    run,
    schema,
    send,
    topics,
    trace,
    watch,
)
from worker.cli.failure import MEANINGS

if TYPE_CHECKING:
    from typer._click import Context, HelpFormatter


class Command(TyperCommand):
    """A command whose epilog, its examples, is printed as it stands."""

    def format_epilog(self, ctx: Context, formatter: HelpFormatter) -> None:  # noqa: ARG002  # as click calls it
        """Writes the epilog without wrapping it."""
        if self.epilog:
            formatter.write(f"\n{self.epilog}\n")


class Commands(TyperGroup):
    """The commands by the order of their use; their help ends with exit codes and environment variables."""

    def format_epilog(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Writes what holds for all commands."""
        if ctx.parent is not None:
            if self.epilog:
                formatter.write(f"\n{self.epilog}\n")
            return
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(int(code)), meaning) for code, meaning in MEANINGS.items()] + [("130", "Ctrl-C")])
        config.write_variables(formatter, described=False)
        formatter.write(f"\n{self.epilog}\n")


app = typer.Typer(
    name="customer-sync",
    cls=Commands,
    help="Applies customer-update commands from Kafka to Midday and publishes what became of each.",
    epilog="Examples:\n  customer-sync demo\n  customer-sync check && customer-sync run",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"customer-sync {version('customer-sync')}")
        raise typer.Exit


@app.callback()
def _root(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None: ...


class Documented(Command):
    """A command whose help ends with every setting and its meaning."""

    def format_epilog(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Writes the settings after the examples."""
        super().format_epilog(ctx, formatter)
        config.write_variables(formatter, described=True)


app.command("run", cls=Documented, epilog=run.EXAMPLES)(run.run)
app.command("demo", cls=Command, epilog=demo.EXAMPLES)(demo.demo)
app.command("send", cls=Command, epilog=send.EXAMPLES)(send.send)
app.command("watch", cls=Command, epilog=watch.EXAMPLES)(watch.watch)
app.command("plan", cls=Command, epilog=plan.EXAMPLES)(plan.plan)
app.command("trace", cls=Command, epilog=trace.EXAMPLES)(trace.trace)
app.command("check", cls=Command, epilog=check.EXAMPLES)(check.check)
app.command("config", cls=Documented, epilog=config.EXAMPLES)(config.config)
app.command("schema", cls=Command, epilog=schema.EXAMPLES)(schema.schema)

_topics = typer.Typer(name="topics", cls=Commands, help="The topics.", no_args_is_help=True, rich_markup_mode=None)
_topics.command("create", cls=Command, epilog=topics.EXAMPLES)(topics.create)
app.add_typer(_topics)

_dlq = typer.Typer(name="dlq", cls=Commands, help="The dead-letter desk.", no_args_is_help=True, rich_markup_mode=None)
_dlq.command("list", cls=Command, epilog=dlq_list.EXAMPLES)(dlq_list.list_)
_dlq.command("replay", cls=Command, epilog=dlq_replay.EXAMPLES)(dlq_replay.replay)
_dlq.command("show", cls=Command, epilog=dlq_show.EXAMPLES)(dlq_show.show)
_dlq.command("edit", cls=Command, epilog=dlq_edit.EXAMPLES)(dlq_edit.edit)
_dlq.command("discard", cls=Command, epilog=dlq_discard.EXAMPLES)(dlq_discard.discard)
_dlq.command("export", cls=Command, epilog=dlq_exchange.EXPORT_EXAMPLES)(dlq_exchange.export)
_dlq.command("import", cls=Command, epilog=dlq_exchange.IMPORT_EXAMPLES)(dlq_exchange.import_)
app.add_typer(_dlq)
