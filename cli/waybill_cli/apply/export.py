"""The command that writes down what is configured, as `waybill apply` reads it."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer
import yaml

from waybill_cli import api
from waybill_cli.apply.kinds import KINDS
from waybill_cli.errors import StackError
from waybill_cli.local import settings


def export(
    kind: Annotated[
        list[str] | None, typer.Argument(help=f"Of {', '.join(sorted(KINDS))}; all without.")
    ] = None,
    product: Annotated[
        list[str] | None,
        typer.Option(help="A product whose own settings and playbooks are written too."),
    ] = None,
) -> None:
    """Print what is configured as YAML documents: `waybill apply -f` makes it so again."""
    kinds = kind or list(KINDS)
    if unknown := [name for name in kinds if name not in KINDS]:
        raise StackError(f"{unknown[0]} is no kind; those are {', '.join(sorted(KINDS))}")
    with api.client(settings.read()) as gateway:
        for document in documents(gateway, kinds, product or []):
            text = yaml.dump(
                document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100
            )
            typer.echo(f"---\n{text}", nl=False)


def documents(
    gateway: Any, kinds: Sequence[str], products: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """One of each that there is, in the order of the kinds."""
    for name in kinds:
        for names, spec in KINDS[name].all_there_are(gateway, products):
            yield {"kind": name, **names, "spec": dict(spec)}


class _Dumper(yaml.SafeDumper):
    """Without anchors: what comes twice is written twice."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the library hands it over
        """Nothing is an alias."""
        return True
