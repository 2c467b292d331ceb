"""The command: read everything, check everything, show what differs, then write."""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import httpx
import typer
import yaml

from waybill_cli import api
from waybill_cli.apply import documents
from waybill_cli.apply.kinds import Document, Refused, Spec, State
from waybill_cli.errors import StackError
from waybill_cli.local import settings

_COLOURS = {"+": typer.colors.GREEN, "-": typer.colors.RED, "@": typer.colors.CYAN}


@dataclass(frozen=True, slots=True)
class Change:
    """A document, how the thing stands, and how the service spells what it is to be."""

    document: Document
    state: State
    wanted: Spec

    @property
    def word(self) -> str:
        """What applying it means."""
        if self.state.spec is None:
            return "created"
        return "unchanged" if self.state.spec == self.wanted else "changed"


def apply(
    file: Annotated[
        list[str], typer.Option("--file", "-f", help="A file, a folder, or -. Repeatable.")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what differs.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Bring settings and the like to what YAML files say; nothing if any of it is wrong.

    The exit code is 1 when a document is wrong, when you say no, and when somebody was faster.
    """
    found, faults = documents.read(file)
    with api.client(settings.read()) as gateway:
        # Where a file is wrong the rest is still checked: all that is to be mended is said at once.
        changes = [change for one in found if (change := _change(gateway, one, faults)) is not None]
        if faults:
            for fault in faults:
                typer.echo(fault, err=True)
            raise StackError("nothing was applied")
        if not changes:
            raise StackError("there is no document in it")
        for line in _differences(changes):
            typer.echo(line)
        pending = [change for change in changes if change.word != "unchanged"]
        if dry_run or not pending:
            for change in changes:
                typer.echo(f"{change.word:<10} {change.document.title}")
            return
        if not yes and not typer.confirm(f"Apply {len(pending)} of {len(changes)} documents?"):
            raise StackError("nothing was applied")
        _write(gateway, changes)


def _change(gateway: httpx.Client, document: Document, faults: list[str]) -> Change | None:
    try:
        state = document.kind.read(gateway, document)
        return Change(document, state, document.kind.check(gateway, document, state))
    except Refused as refused:
        faults.extend(f"{document.place}: {fault}" for fault in refused.faults)
        return None


def _write(gateway: httpx.Client, changes: Sequence[Change]) -> None:
    for position, change in enumerate(changes):
        document = change.document
        try:
            if change.word != "unchanged":
                document.kind.write(gateway, document, change.state)
        except (Refused, api.Away) as error:
            left = ", ".join(one.document.title for one in changes[position:])
            raise StackError(f"{document.place}: {error}; not applied: {left}") from error
        typer.echo(f"{change.word:<10} {document.title}")


def _differences(changes: Sequence[Change]) -> Iterator[str]:
    """A unified diff for each document that changes something."""
    for change in changes:
        if change.word == "unchanged":
            continue
        before = [] if change.state.spec is None else _lines(change.state.spec)
        lines = difflib.unified_diff(
            before,
            _lines(change.wanted),
            change.document.title,
            change.document.place,
            lineterm="",
        )
        for line in lines:
            heading = line.startswith(("---", "+++"))
            yield typer.style(line, fg=None if heading else _COLOURS.get(line[:1]), bold=heading)


def _lines(spec: Spec) -> list[str]:
    return yaml.safe_dump(dict(spec), allow_unicode=True, width=100).splitlines()
