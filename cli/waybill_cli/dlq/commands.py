"""`waybill dlq list`, `show` and `replay`."""

import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from google.protobuf.json_format import MessageToDict

from waybill_cli.dlq import letters
from waybill_cli.dlq.letters import Letter
from waybill_cli.errors import StackError
from waybill_cli.local import settings
from waybill_cli.local.processes import blocking
from waybill_cli.tables import print_table

Service = Annotated[
    str | None, typer.Option("--service", "-s", help="Only this service's; all without.")
]


def show_all(
    service: Service = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """List dead letters, oldest first, each original record once."""
    found = _read(service)
    if as_json:
        for letter in found:
            typer.echo(json.dumps(_summary(letter)))
        return
    if not found:
        typer.echo("no dead letters")
        return
    print_table(
        ("id", "given up", "replayed", "from", "type", "subject", "reason"),
        [
            (
                letter.id,
                f"{letter.failed_at:%m-%d %H:%M:%S}",
                "yes" if letter.replayed else "-",
                _short_place(letter),
                letter.message.event_type.rpartition(".")[2] or "?",
                letter.message.event_subject[:8] or "?",
                letter.message.reason,
            )
            for letter in found
        ],
        cut=True,
    )
    waiting = sum(1 for letter in found if not letter.replayed)
    typer.echo(f"{len(found)} dead letters, {waiting} of them not replayed")


def show_one(id: Annotated[str, typer.Argument(help="As the list has it: sla-17.")]) -> None:
    """Show one dead letter whole: reason, origin, headers and the record itself."""
    letter = _by_id([id], _read(_service_of(id)))[0]
    message = letter.message
    told: list[tuple[str, Any]] = [
        ("id", letter.id),
        ("reason", message.reason),
        ("error", message.error_type),
        (
            "given up",
            f"{letter.failed_at.isoformat(timespec='seconds')}, tries: {message.attempts}",
        ),
        ("service", f"{letter.service}, group {message.group}"),
        ("read from", f"{message.topic}, partition {message.partition}, offset {message.offset}"),
        ("replayed", f"{letter.replayed} times" if letter.replayed else "no"),
        ("event", f"{message.event_type or '?'} {message.event_id}"),
        ("source", message.event_source),
        ("subject", message.event_subject),
        ("key", _text(message.key) if message.HasField("key") else "none"),
    ]
    for name, value in told:
        if value:
            typer.echo(f"{name:<10} {value}")
    typer.echo("headers")
    for header in message.headers:
        typer.echo(
            f"  {header.name}: {_text(header.value) if header.HasField('value') else 'null'}"
        )
    typer.echo(f"value ({len(message.value)} bytes)" if message.HasField("value") else "no value")
    if message.value:
        typer.echo(f"  {_text(message.value)}")


def replay(
    ids: Annotated[
        list[str] | None, typer.Argument(help="As the list has them: sla-17 kb-3.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All that have not been replayed yet.")
    ] = False,
    service: Service = None,
) -> None:
    """Send the original records to where they came from, for the group that failed on them."""
    if bool(ids) == everything:
        raise StackError("say which: ids as `waybill dlq list` has them, or --all")
    found = _read(service)
    wanted = _by_id(ids, found) if ids else [letter for letter in found if not letter.replayed]
    if foreign := [letter.id for letter in wanted if not letter.message.group]:
        raise StackError(f"{', '.join(foreign)} says no group and cannot be replayed")
    stack = settings.read()
    for letter in wanted:
        blocking(letters.replay(stack.kafka, [letter]))
        typer.echo(f"{letter.id} sent to {letter.message.topic} for {letter.message.group}")
    if not wanted:
        typer.echo("nothing to replay")


def _read(service: str | None) -> list[Letter]:
    if service is not None and service not in settings.SERVICES:
        raise StackError(f"no service {service!r}; use {', '.join(settings.SERVICES)}")
    services = [service] if service else settings.SERVICES
    return blocking(letters.read(settings.read().kafka, services))


def _service_of(id: str) -> str | None:
    service = id.partition("-")[0]
    return service if service in settings.SERVICES else None


def _by_id(ids: Sequence[str], found: Sequence[Letter]) -> list[Letter]:
    known = {letter.id: letter for letter in found}
    if unknown := [id for id in ids if id not in known]:
        raise StackError(f"no dead letter {', '.join(unknown)}; see `waybill dlq list`")
    return [known[id] for id in dict.fromkeys(ids)]


def _short_place(letter: Letter) -> str:
    message = letter.message
    topic = message.topic.removeprefix("waybill.").removesuffix(".v1")
    return f"{topic}/{message.partition}/{message.offset}"


def _summary(letter: Letter) -> dict[str, Any]:
    told: dict[str, Any] = MessageToDict(letter.message, preserving_proto_field_name=True)
    # JSON has int64 as text.
    told["offset"] = letter.message.offset
    return {"id": letter.id, "replayed": letter.replayed, **told}


def _text(content: bytes) -> str:
    """Text as it is, else bytes as Python spells them."""
    try:
        text = content.decode()
        return text if text.isprintable() else repr(content)
    except UnicodeDecodeError:
        return repr(content)
