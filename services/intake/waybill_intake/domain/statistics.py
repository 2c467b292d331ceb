"""What a ticket counts for: a pure function of the ticket and its history.

Every number is a sum of *lines*: of a kind, in a quarter of an hour (UTC), of a product, type and
team, under a key of the kind's own, a few whole numbers. What a ticket counts for is kept beside
it; a change takes the old lines away and adds the new ones, so that sums are exact at all times.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from waybill_chassis import periods

from waybill_intake.domain.statistics_history import (
    CLOSED,
    NONE,
    OPEN,
    RESOLVED,
    History,
    second,
)
from waybill_intake.domain.ticket import Ticket
from waybill_intake.domain.words import Priority, Status

QUARTER = periods.QUARTER

FLOW, STATE, CARE = "flow", "state", "care"
RESPONSE, RESOLUTION, AGENT, TAG = "response", "resolution", "agent", "tag"
CLUSTER, RATING = "cluster", "rating"

_ISSUE = ("tickets", "solved", "seconds", "reopened", "escalated", "asked", "unanswered")
KINDS: Mapping[str, tuple[str, ...]] = {
    # What happened, in the quarter in which it happened (targets: in which they are due).
    FLOW: (
        "opened",
        "resolved",
        "closed",
        "reopened",
        "left",
        "back",
        "responded",
        "due_response",
        "breached_response",
        "due_resolution",
        "breached_resolution",
    ),
    # All else stands in the quarter in which the ticket was opened.
    STATE: ("tickets", "pending", "in_progress", "awaiting_user", "resolved", "closed"),
    CARE: (
        "tickets",
        "solved",
        "ever_resolved",
        "reopened",
        "reopenings",
        "escalated",
        "urgent",
        "assignments",
        "bounced",
        "skipped",
        "replies",
        "helped",
        "asked",
        "unanswered",
        "seconds",
    ),
    # Key: the class of a histogram.
    RESPONSE: ("n", "seconds"),
    RESOLUTION: ("n", "seconds"),
    # Key: the agent.
    AGENT: ("handled", "resolved", "rated", "score", "responses", "seconds"),
    # Key: the tag.
    TAG: _ISSUE,
    # Key: the id of the oldest ticket that others are like.
    CLUSTER: _ISSUE,
    # Key: classes of response time, resolution time and hand-overs.
    RATING: ("n", "score", "squares"),
}
"""What the numbers of a line mean, by kind."""

WIDTH = max(map(len, KINDS.values()))


def _bounds() -> tuple[int, ...]:
    found = [0]
    while found[-1] < 400 * 86_400:
        found.append(max(found[-1] + 1, found[-1] * 21 // 20))
    return tuple(found)


BOUNDS = _bounds()
"""Where the classes of the histograms begin, in seconds: each is 1 s or 5 % wide."""

RESPONSE_CLASSES = (15 * 60, 2 * 3600, 24 * 3600)
RESOLUTION_CLASSES = (4 * 3600, 24 * 3600, 3 * 24 * 3600)
HAND_OVER_CLASSES = 3
NEVER = "-"
"""Instead of a class: it has not happened."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What a ticket counts for; `sums` by kind, then by key (of a flow: by its quarter)."""

    product: str
    type: str
    team: str
    opened: int
    """The quarter of an hour in which it was opened, in seconds since 1970."""
    sums: Mapping[str, Mapping[str, list[int]]]


Key = tuple[str, int, str, str, str, str]
"""Of a line: kind, quarter, product, type, team, key."""

Lines = dict[Key, list[int]]


def quarter(seconds: int) -> int:
    """The quarter of an hour that a second is in."""
    return seconds - seconds % QUARTER


def seconds_between(start: datetime, end: datetime | None) -> int | None:
    """Whole seconds, never less than none; None while there is no end."""
    return None if end is None else max(0, (end - start) // timedelta(seconds=1))


def bin_of(seconds: int) -> int:
    """The class of a histogram that a time falls into."""
    return bisect_right(BOUNDS, seconds) - 1


def count(ticket: Ticket, history: History) -> Counted:
    """What the ticket counts for."""
    response = seconds_between(ticket.created_at, ticket.first_response_at)
    resolution = seconds_between(ticket.created_at, ticket.resolved_at)
    sums: dict[str, dict[str, list[int]]] = {
        FLOW: _flows(ticket, history),
        STATE: {"": _state(ticket)},
        CARE: {"": _care(ticket, history, resolution)},
    }
    if response is not None:
        sums[RESPONSE] = {str(bin_of(response)): [1, response]}
    if resolution is not None:
        sums[RESOLUTION] = {str(bin_of(resolution)): [1, resolution]}
    if agents := history.agents:
        sums[AGENT] = {
            agent: _agent(ticket, history, agent, response, resolution) for agent in agents
        }
    issue = [
        1,
        int(resolution is not None),
        resolution or 0,
        int(ticket.reopenings > 0),
        int(bool(history.escalations)),
        int(history.answer != ""),
        int(history.answer == NONE),
    ]
    if ticket.tags:
        sums[TAG] = dict.fromkeys(ticket.tags, issue)
    if history.cluster:
        sums[CLUSTER] = {history.cluster: issue}
    if ticket.rating is not None:
        score = ticket.rating.score
        key = ".".join(
            (
                _class(response, RESPONSE_CLASSES),
                _class(resolution, RESOLUTION_CLASSES),
                str(min(history.hand_overs, HAND_OVER_CLASSES)),
            )
        )
        sums[RATING] = {key: [1, score, score * score]}
    return Counted(
        ticket.product,
        ticket.type.value,
        history.team,
        quarter(second(ticket.created_at)),
        sums,
    )


def lines_of(counted: Counted) -> Iterator[tuple[Key, list[int]]]:
    """A ticket's lines."""
    dimensions = (counted.product, counted.type, counted.team)
    for kind, entries in counted.sums.items():
        for key, values in entries.items():
            if kind == FLOW:
                yield (kind, int(key), *dimensions, ""), values
            else:
                yield (kind, counted.opened, *dimensions, key), values


def add(lines: Lines, counted: Counted | None, sign: int = 1) -> None:
    """Add what a ticket counts for to `lines`, or take it away with -1."""
    if counted is None:
        return
    for key, values in lines_of(counted):
        sums = lines.setdefault(key, [0] * len(values))
        for index, value in enumerate(values):
            sums[index] += sign * value


def changed(lines: Lines) -> Lines:
    """The lines that are not nothing."""
    return {key: values for key, values in lines.items() if any(values)}


def _flows(ticket: Ticket, history: History) -> dict[str, list[int]]:
    names = KINDS[FLOW]
    found: dict[str, list[int]] = {}

    def happened(at: int, *what: str) -> None:
        values = found.setdefault(str(quarter(at)), [0] * len(names))
        for name in what:
            values[names.index(name)] += 1

    happened(second(ticket.created_at), "opened")
    before = OPEN
    for at, state in history.moves:
        if state == OPEN:
            happened(at, "back", *(("reopened",) if before == RESOLVED else ()))
        elif before == OPEN:
            happened(at, state, "left")
        elif state == CLOSED:
            happened(at, "closed")
        before = state
    if ticket.first_response_at is not None:
        happened(second(ticket.first_response_at), "responded")
    for target in history.targets:
        if target.state in ("met", "breached"):
            happened(target.due, f"due_{target.kind}")
        if target.state == "breached":
            happened(target.due, f"breached_{target.kind}")
    return found


def _state(ticket: Ticket) -> list[int]:
    return [1, *(int(ticket.status is status) for status in Status)]


def _care(ticket: Ticket, history: History, resolution: int | None) -> list[int]:
    ever = resolution is not None or any(state == RESOLVED for _, state in history.moves)
    return [
        1,
        int(resolution is not None),
        int(ever or ticket.reopenings > 0),
        int(ticket.reopenings > 0),
        ticket.reopenings,
        int(bool(history.escalations)),
        int(ticket.priority is Priority.URGENT),
        history.assignments,
        history.bounced,
        int(bool(ticket.skipped)),
        history.replies,
        history.helped,
        int(history.answer != ""),
        int(history.answer == NONE),
        resolution or 0,
    ]


def _agent(
    ticket: Ticket, history: History, agent: str, response: int | None, resolution: int | None
) -> list[int]:
    rated = ticket.rating is not None and agent == (history.resolver or history.holder)
    answered = response is not None and agent == history.responder
    return [
        1,
        int(resolution is not None and agent == history.resolver),
        int(rated),
        ticket.rating.score if rated and ticket.rating else 0,
        int(answered),
        response or 0 if answered else 0,
    ]


def _class(seconds: int | None, bounds: tuple[int, ...]) -> str:
    return NEVER if seconds is None else str(bisect_right(bounds, seconds))
