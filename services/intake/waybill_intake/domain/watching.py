"""Watchers: people who follow a ticket without having it."""

from datetime import datetime

from waybill_chassis.problems import Conflict

from waybill_intake.domain.moves import require_open
from waybill_intake.domain.ticket import Change, Edited, Ticket, Watcher

MOST = 50


class TooManyWatchers(Conflict):
    """A ticket that is followed by as many people as can."""

    title = "Too many watchers"


def watch(ticket: Ticket, watcher: Watcher, at: datetime) -> list[Edited]:
    """Have somebody follow the ticket; nothing happens where they do so already."""
    known = next((one for one in ticket.watchers if one.email == watcher.email), None)
    if known is not None and watcher.name in ("", known.name):
        return []
    require_open(ticket)
    others = tuple(one for one in ticket.watchers if one.email != watcher.email)
    if len(others) >= MOST:
        raise TooManyWatchers(f"{ticket.number} has {MOST} watchers, and no more can follow it.")
    return [_edited(ticket, (*others, watcher), at)]


def unwatch(ticket: Ticket, email: str, at: datetime) -> list[Edited]:
    """Have somebody follow it no more; nothing happens where they do not."""
    kept = tuple(one for one in ticket.watchers if one.email != email)
    if kept == ticket.watchers:
        return []
    require_open(ticket)
    return [_edited(ticket, kept, at)]


def _edited(ticket: Ticket, watchers: tuple[Watcher, ...], at: datetime) -> Edited:
    before, after = (
        tuple(one.email for one in watching) for watching in (ticket.watchers, watchers)
    )
    change = Change(field="watchers", before=before, after=after)
    return Edited(ticket=ticket.changed(at, watchers=watchers), changes=(change,))
