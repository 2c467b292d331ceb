"""`waybill simulate -f`: what would have been met by the agreements of YAML files."""

import time
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from waybill_cli import api
from waybill_cli.apply import documents, together
from waybill_cli.errors import StackError
from waybill_cli.local import settings
from waybill_cli.tables import print_table

PATH = "/v1/sla/simulations"

_PAUSE_SECONDS = 0.5
_SHOWN = 20


def simulate(
    file: Annotated[
        list[str], typer.Option("--file", "-f", help="A file, a folder, or -. Repeatable.")
    ],
    product: Annotated[str | None, typer.Option(help="Only tickets of this product.")] = None,
    type: Annotated[str | None, typer.Option(help="Only tickets of this type.")] = None,
    priority: Annotated[str | None, typer.Option(help="Only tickets of this priority.")] = None,
    since: Annotated[
        str | None, typer.Option("--from", help="Opened then or later: 2026-01-05T09:00:00Z.")
    ] = None,
    until: Annotated[str | None, typer.Option("--to", help="Opened before then.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many, the newest.")] = 10_000,
) -> None:
    """Replay past tickets under policies, ladders and calendars, which changes nothing.

    The exit code is 1 when a document is wrong and when the simulation fails.
    """
    found, faults = documents.read(file)
    faults += [
        one.fault("is nothing that can be simulated: use policies, ladders and calendars")
        for one in found
        if not together.is_agreed(one)
    ]
    if not faults and not found:
        raise StackError("there is no document in it")
    filters = {"product": product, "type": type, "priority": priority, "from": since, "to": until}
    body = {
        "filters": {name: value for name, value in filters.items() if value is not None},
        "limit": limit,
    }
    with api.client(settings.read()) as gateway:
        begun = None
        if not faults:
            joint = [(one, together.NOTHING) for one in found]
            body |= together.body_of(found)
            begun = together.answered(gateway, PATH, body, joint, faults)
        if begun is None:
            for fault in faults:
                typer.echo(fault, err=True)
            raise StackError("nothing was simulated")
        while begun["state"] == "running":
            time.sleep(_PAUSE_SECONDS)
            found_now = api.get(gateway, f"{PATH}/{begun['id']}")
            if found_now["done"] != begun["done"]:
                typer.echo(f"replayed   {found_now['done']} of {found_now['total']}", err=True)
            begun = found_now
    if begun["state"] == "failed":
        raise StackError(f"the simulation {begun['id']} failed: {begun['failure']}")
    for part in (_targets, _rungs, _cases):
        part(begun)
    for line in _words(begun):
        typer.echo(line)


def _targets(found: Mapping[str, Any]) -> None:
    print_table(
        ("target", "priority", "met now", "then", "breached now", "then ", "open"),
        [
            (
                one["target"],
                one["priority"],
                _share(one["before"]["attainment"]),
                _share(one["after"]["attainment"]),
                str(one["before"]["breached"]),
                str(one["after"]["breached"]),
                str(one["after"]["open"]),
            )
            for one in found["targets"]
        ],
        right=("met now", "then", "breached now", "then ", "open"),
    )


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _rungs(found: Mapping[str, Any]) -> None:
    if found["escalations"]:
        typer.echo()
        print_table(
            ("ladder", "rung", "leads to", "now", "then"),
            [
                (one["ladder"], one["rung"], one["level"], str(one["before"]), str(one["after"]))
                for one in found["escalations"]
            ],
            right=("now", "then"),
        )


def _cases(found: Mapping[str, Any]) -> None:
    cases = [
        (word, one["number"], one["priority"], one["target"])
        for word, part in (("gained", "breaches_gained"), ("lost", "breaches_lost"))
        for one in found[part]["first"][:_SHOWN]
    ]
    if cases:
        typer.echo()
        print_table(("breach", "ticket", "priority", "target"), cases)


def _words(found: Mapping[str, Any]) -> Iterator[str]:
    yield ""
    yield (
        f"{found['done']} tickets: {found['breaches_gained']['count']} breaches more, "
        f"{found['breaches_lost']['count']} fewer; {found['other_policy']['count']} tickets would "
        "have another policy"
    )
    if found["approximated"]:
        yield f"{found['approximated']} were replayed from their ledger only, without earlier edits"
    if found["left_out"]:
        yield f"{found['left_out']} could not be replayed"
    yield f"all of it: GET {PATH}/{found['id']}"
