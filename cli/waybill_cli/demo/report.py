"""A run of the demonstration on the terminal: progress, and the table at its end."""

import math
import sys
import time
from collections.abc import Sequence

import typer

from waybill_cli.demo.plan import STAGES, Plan, Ticket
from waybill_cli.demo.run import Outcome
from waybill_cli.tables import print_table

_QUIET_SECONDS = 5.0
_MOST_NAMED = 20


class Progress:
    """One line that is written over on a terminal, a line every few seconds elsewhere."""

    def __init__(self) -> None:
        """Write to the standard error, so that the table alone is the output."""
        self._terminal = sys.stderr.isatty()
        self._last = -math.inf
        self._done = False

    def tell(self, plan: Plan, seconds: float) -> None:
        """Say how far we are."""
        now = time.monotonic()
        if self._done:
            return
        self._done = done = all(all(ticket.stages) for ticket in plan.tickets)
        if not self._terminal and not done and now - self._last < _QUIET_SECONDS:
            return
        self._last = now
        sent = sum(ticket.sent_at is not None for ticket in plan.tickets)
        counts = [sum(t.stages[n] for t in plan.tickets) for n in range(len(STAGES))]
        told = ", ".join(f"{stage} {count}" for stage, count in zip(STAGES, counts, strict=True))
        line = f"  {seconds:6.1f} s  sent {sent} of {len(plan.tickets)}, {told}"
        typer.echo(f"\r{line}" if self._terminal else line, err=True, nl=not self._terminal)
        if self._terminal and done:
            typer.echo(err=True)


def print_outcome(outcome: Outcome) -> None:
    """The table, then what is missing by number."""
    tickets = outcome.plan.tickets
    doors = {"all": tickets} | {
        door: [ticket for ticket in tickets if ticket.door == door] for door in ("REST", "Kafka")
    }
    rows = [("tickets", *(str(len(group)) for group in doors.values()))]
    for place, stage in enumerate(STAGES):
        counts = (sum(ticket.stages[place] for ticket in group) for group in doors.values())
        rows.append((stage, *map(str, counts)))
    for share in (50, 95, 99):
        times = (_percentile(group, share) for group in doors.values())
        rows.append((f"request to receipt, p{share}", *times))
    print_table(("", *doors), rows, right=list(doors))
    rate = len(tickets) / outcome.sending_seconds if outcome.sending_seconds else 0.0
    typer.echo(
        f"sent in {outcome.sending_seconds:.1f} s ({rate:.1f}/s), all done after "
        f"{outcome.seconds:.1f} s; the tickets bear the tag {outcome.plan.tag}"
    )
    for warning in outcome.warnings[:_MOST_NAMED]:
        typer.echo(f"met on the way: {warning}")
    if outcome.gave_up:
        typer.echo(f"gave up: {outcome.gave_up}")
    for refused in [ticket for ticket in tickets if ticket.error][:_MOST_NAMED]:
        typer.echo(f"refused: {refused.label}: {refused.error}")
    for place, stage in enumerate(STAGES):
        lacking = [ticket.label for ticket in tickets if not ticket.stages[place]]
        if lacking:
            named = ", ".join(lacking[:_MOST_NAMED])
            more = f" and {len(lacking) - _MOST_NAMED} more" if len(lacking) > _MOST_NAMED else ""
            typer.echo(f"missing, {stage}: {named}{more}")
    if outcome.complete:
        typer.echo("nothing is missing")


def _percentile(tickets: Sequence[Ticket], share: int) -> str:
    times = sorted(t.seconds for t in tickets if t.seconds is not None)
    if not times:
        return "-"
    return f"{times[max(0, math.ceil(len(times) * share / 100) - 1)]:.2f} s"
