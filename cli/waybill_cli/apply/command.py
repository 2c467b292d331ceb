"""The command: read everything, check everything, show what differs, then write."""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import httpx
import typer
import yaml

from waybill_cli import api
from waybill_cli.apply import documents, together
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
    redate: Annotated[
        bool, typer.Option("--redate", help="Policies count for what is open already, too.")
    ] = False,
) -> None:
    """Bring settings and the like to what YAML files say; nothing if any of it is wrong.

    The exit code is 1 when a document is wrong, when you say no, and when somebody was faster.
    """
    found, faults = documents.read(file)
    with api.client(settings.read()) as gateway:
        if redate and not any(one.kind.name == "Policy" for one in found):
            faults.append("--redate is for policies, and there is none")
        # Where a file is wrong the rest is still checked: all that is to be mended is said at once.
        changes, concerned = _changes(gateway, found, faults, redate=redate)
        if faults:
            for fault in faults:
                typer.echo(fault, err=True)
            raise StackError("nothing was applied")
        if not changes:
            raise StackError("there is no document in it")
        for line in _differences(changes):
            typer.echo(line)
        if concerned:
            typer.echo(f"{concerned} open clocks would be gone through")
        pending = [change for change in changes if change.word != "unchanged"]
        if dry_run or not (pending or redate):
            for change in changes:
                typer.echo(f"{change.word:<10} {change.document.title}")
            return
        more = " and date open clocks anew" if redate else ""
        if not yes and not typer.confirm(
            f"Apply {len(pending)} of {len(changes)} documents{more}?"
        ):
            raise StackError("nothing was applied")
        if _write(gateway, changes, redate=redate):
            together.show_progress(gateway)


def _changes(
    gateway: httpx.Client, found: Sequence[Document], faults: list[str], *, redate: bool
) -> tuple[list[Change], int]:
    """What each document changes, and how many open clocks are gone through for it."""
    states: list[tuple[Document, State]] = []
    wanted: dict[str, Spec] = {}
    for document in found:
        try:
            state = document.kind.read(gateway, document)
            states.append((document, state))
            if not together.is_joint(document):
                wanted[document.title] = document.kind.check(gateway, document, state)
        except Refused as refused:
            faults.extend(document.fault(fault) for fault in refused.faults)
    concerned = 0
    for joint in together.by_place(states):
        if (checked := together.check(gateway, joint, faults, redate=redate)) is not None:
            specs, passed = checked
            concerned += passed
            wanted |= {one.title: spec for (one, _), spec in zip(joint, specs, strict=True)}
    return [
        Change(document, state, wanted[document.title])
        for document, state in states
        if document.title in wanted
    ], concerned


def _write(gateway: httpx.Client, changes: Sequence[Change], *, redate: bool) -> int:
    """One after the other, those that belong together at once; how many clocks are gone through."""
    left = list(changes)
    concerned = 0
    while left:
        first = left[0]
        batch = [first]
        if together.is_joint(first.document):
            batch = [one for one in left if together.go_together(one.document, first.document)]
        try:
            if together.is_joint(first.document):
                sent = [(one.document, one.state) for one in batch]
                if redate or any(one.word != "unchanged" for one in batch):
                    concerned += together.write(gateway, sent, redate=redate)
            elif first.word != "unchanged":
                first.document.kind.write(gateway, first.document, first.state)
        except (Refused, api.Away) as error:
            titles = ", ".join(one.document.title for one in left)
            place = "" if together.is_joint(first.document) else f"{first.document.place}: "
            raise StackError(f"{place}{error}; not applied: {titles}") from error
        for one in batch:
            typer.echo(f"{one.word:<10} {one.document.title}")
        left = [one for one in left if one not in batch]
    return concerned


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
