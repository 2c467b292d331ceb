"""`waybill trace`: a ticket's whole journey from logs, ledgers and, where there are any, spans."""

import json
from typing import Annotated

import typer

from waybill_cli import api
from waybill_cli.local import settings
from waybill_cli.trace import journey, show, sources, spans


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("trace")(trace)


def trace(
    ticket: Annotated[str, typer.Argument(help="A number such as WB-1042, or an id.")],
    as_json: Annotated[bool, typer.Option("--json", help="The same as one JSON object.")] = False,
) -> None:
    """Print a ticket's journey: every service, event, attempt and duration, with trace ids."""
    found = of(settings.read(), ticket)
    if as_json:
        typer.echo(json.dumps(found.as_dict(), indent=1, ensure_ascii=False))
    else:
        show.print_journey(found)


def of(stack: settings.StackSettings, ticket: str) -> journey.Journey:
    """The journey of a ticket. Raises StackError when there is no such ticket."""
    with api.client(stack) as asked:
        told = sources.gather(asked, ticket)
    return journey.build(told, spans.read(stack.data_dir, journey.trace_ids(told)))
