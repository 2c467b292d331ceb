"""`waybill apply -f`: what is configured over REST, in YAML; `waybill simulate -f`: if it were."""

import typer

from waybill_cli.apply.command import apply
from waybill_cli.apply.simulate import simulate


def register(app: typer.Typer) -> None:
    """Add `waybill apply` and `waybill simulate`."""
    app.command()(apply)
    app.command()(simulate)
