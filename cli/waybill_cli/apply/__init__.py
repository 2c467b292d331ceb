"""`waybill apply -f`: what is configured over REST, written down in YAML."""

import typer

from waybill_cli.apply.command import apply


def register(app: typer.Typer) -> None:
    """Add `waybill apply`."""
    app.command()(apply)
