"""The `waybill` command."""

import importlib.util
from importlib import import_module
from typing import Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from waybill_cli import commands
from waybill_cli.errors import StackError

# Each adds its commands with `register(app)`.
_MORE = ("trace", "dlq", "reconcile", "demo", "apply")


class _OneLine(TyperGroup):
    """What goes wrong is said in one line, without a stack trace."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; a StackError ends it with exit code 1."""
        try:
            return super().invoke(ctx)
        except StackError as error:
            Console(stderr=True, soft_wrap=True).print(
                f"waybill: {error}", markup=False, highlight=False
            )
            raise typer.Exit(1) from None


app = typer.Typer(
    name="waybill",
    cls=_OneLine,
    help="Waybill on this machine: the stack, tokens, journeys, dead letters.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
commands.register(app)
for _name in _MORE:
    if importlib.util.find_spec(f"waybill_cli.{_name}"):
        import_module(f"waybill_cli.{_name}").register(app)
