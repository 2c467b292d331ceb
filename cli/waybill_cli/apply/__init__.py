"""What is configured over REST, in YAML: applied, simulated, exported."""

import typer

from waybill_cli.apply.command import apply
from waybill_cli.apply.export import export
from waybill_cli.apply.simulate import simulate


def register(app: typer.Typer) -> None:
    """Add `waybill apply`, `waybill simulate` and `waybill export`."""
    app.command()(apply)
    app.command()(export)
    app.command()(simulate)
