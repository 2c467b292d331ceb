"""Dead letters: what a service could not handle, seen and sent again."""

import typer

from waybill_cli.dlq import commands


def register(app: typer.Typer) -> None:
    """Add `waybill dlq`."""
    group = typer.Typer(help="Dead letters: list, show, replay.", no_args_is_help=True)
    group.command("list")(commands.show_all)
    group.command("show")(commands.show_one)
    group.command("replay")(commands.replay)
    app.add_typer(group, name="dlq")
