"""`waybill demo` and `waybill hello`: real tickets through the whole stack, counted and timed."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from waybill_cli.demo import hello, plan, questions, report, run
from waybill_cli.local import settings


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("demo")(demo)
    app.command("hello")(hello.hello)


def demo(
    file: Annotated[
        Path | None,
        typer.Option(help="A CSV with the columns text and category; our own questions without."),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(min=1, help="How many tickets; all of our own, or 100 of a file's."),
    ] = None,
    rate: Annotated[float, typer.Option(min=0.1, max=2000, help="Tickets a second.")] = 20.0,
    patience: Annotated[
        float, typer.Option(min=1, help="Seconds without any progress after which to give up.")
    ] = 60.0,
) -> None:
    """Open tickets through REST and Kafka in turn, follow each to its receipt, print a table.

    The exit code is 1 when anything is missing.
    """
    asked = questions.load(file)
    number = count or (100 if file else len(asked))
    wanted = plan.plan(questions.take(asked, number), rate=rate, patience=patience)
    outcome = asyncio.run(run.follow(settings.read(), wanted, report.Progress()))
    report.print_outcome(outcome)
    if not outcome.complete:
        raise typer.Exit(1)
