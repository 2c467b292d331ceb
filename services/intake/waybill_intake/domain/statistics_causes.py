"""A diagnosis: what slow response, poor handling and low satisfaction come from, with evidence.

Each cause has a score from 0 (no sign of it) to 1, which is a share or a correlation that is told
beside it; the causes are ranked by it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import sqrt

from waybill_intake.domain.statistics import NEVER
from waybill_intake.domain.statistics_answers import DIGITS, share

LEAST_RATINGS = 10
"""With fewer ratings a correlation says nothing."""


class Concern(StrEnum):
    """What is wrong."""

    SLOW_RESPONSE = "slow_response"
    POOR_HANDLING = "poor_handling"
    LOW_SATISFACTION = "low_satisfaction"


@dataclass(frozen=True, slots=True)
class HourOfDay:
    """An hour of the day: how many tickets are opened in it and how many first replies given."""

    hour: int
    arrivals: int
    replies: int


@dataclass(frozen=True, slots=True)
class ScoreOf:
    """The ratings of the tickets of a class."""

    name: str
    ratings: int
    average: float | None


@dataclass(frozen=True, slots=True)
class Cause:
    """A cause, how much speaks for it, and the numbers that do."""

    concern: Concern
    cause: str
    score: float
    summary: str
    evidence: Mapping[str, int | float | None]
    hours: Sequence[HourOfDay] = ()
    classes: Sequence[ScoreOf] = ()


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All causes, the strongest first."""

    causes: list[Cause]


Ratings = Mapping[str, Mapping[str, int]]
"""Numbers of ratings, scores and squares of scores by class."""


def diagnose(
    flow: Mapping[str, int],
    backlog: tuple[int, int],
    care: Mapping[str, int],
    hours: Sequence[HourOfDay],
    ratings: Ratings,
) -> Diagnosis:
    """Rank the causes; `backlog` at the beginning and at the end."""
    found = [
        _capacity(flow, backlog),
        _staffing(hours),
        _bounces(care),
        _urgency(care),
        _reopenings(care),
        _skipped(care),
        _knowledge(care),
        *_satisfaction(ratings),
    ]
    return Diagnosis(sorted(found, key=lambda one: (-one.score, one.concern, one.cause)))


def _capacity(flow: Mapping[str, int], backlog: tuple[int, int]) -> Cause:
    came, done = flow["opened"] + flow["back"], flow["left"]
    score = share(max(0, came - done), came) or 0.0
    return Cause(
        Concern.SLOW_RESPONSE,
        "arrivals_exceed_capacity",
        score,
        f"{came} tickets came (reopened ones included) and {done} were finished: "
        f"the backlog went from {backlog[0]} to {backlog[1]}.",
        {
            "arrived": came,
            "finished": done,
            "backlog_before": backlog[0],
            "backlog_after": backlog[1],
        },
    )


def _staffing(hours: Sequence[HourOfDay]) -> Cause:
    arrivals = sum(hour.arrivals for hour in hours)
    replies = sum(hour.replies for hour in hours)
    lacks = [hour.arrivals * replies - hour.replies * arrivals for hour in hours]
    score = share(sum(max(0, lack) for lack in lacks), arrivals * replies) or 0.0
    worst = max(range(len(hours)), key=lambda index: lacks[index], default=0)
    if score:
        hour = hours[worst]
        said = (
            f"{score:.0%} of the first replies would have to move to other hours to follow the "
            f"arrivals; most are missing from {hour.hour}:00 to {hour.hour + 1}:00 "
            f"({hour.arrivals} of {arrivals} arrivals, {hour.replies} of {replies} replies)."
        )
    else:
        said = "First replies follow the arrivals over the day, as far as there are any."
    return Cause(
        Concern.SLOW_RESPONSE,
        "staffing_by_hour",
        score,
        said,
        {"arrivals": arrivals, "first_replies": replies},
        hours=hours,
    )


def _bounces(care: Mapping[str, int]) -> Cause:
    bounced, assigned = care["bounced"], care["assignments"]
    return Cause(
        Concern.SLOW_RESPONSE,
        "assignments_bounced",
        share(bounced, assigned) or 0.0,
        f"{bounced} of {assigned} assignments ended though the ticket was not closed: given back, "
        "taken away or handed to somebody else.",
        {"assignments": assigned, "bounced": bounced},
    )


def _urgency(care: Mapping[str, int]) -> Cause:
    urgent, tickets = care["urgent"], care["tickets"]
    return Cause(
        Concern.SLOW_RESPONSE,
        "share_of_urgent",
        share(urgent, tickets) or 0.0,
        f"{urgent} of {tickets} tickets are urgent: the more there are, the longer all others "
        "wait.",
        {"tickets": tickets, "urgent": urgent},
    )


def _reopenings(care: Mapping[str, int]) -> Cause:
    reopened, resolved = care["reopened"], care["ever_resolved"]
    return Cause(
        Concern.POOR_HANDLING,
        "reopenings",
        share(reopened, resolved) or 0.0,
        f"{reopened} of {resolved} tickets that were resolved came back, "
        f"{care['reopenings']} times in all.",
        {"resolved": resolved, "reopened": reopened, "reopenings": care["reopenings"]},
    )


def _skipped(care: Mapping[str, int]) -> Cause:
    skipped, resolved = care["skipped"], care["ever_resolved"]
    return Cause(
        Concern.POOR_HANDLING,
        "checklist_points_skipped",
        min(1.0, share(skipped, resolved) or 0.0),
        f"{skipped} of {resolved} tickets were resolved with points of their checklist not done.",
        {"resolved": resolved, "skipped": skipped},
    )


def _knowledge(care: Mapping[str, int]) -> Cause:
    unused = care["replies"] - care["helped"]
    return Cause(
        Concern.POOR_HANDLING,
        "knowledge_base_unused",
        share(unused, care["replies"]) or 0.0,
        f"{unused} of {care['replies']} replies were written without a quick reply of the "
        f"knowledge base; for {care['unanswered']} of {care['asked']} receipts it had no answer.",
        {
            "replies": care["replies"],
            "with_quick_reply": care["helped"],
            "knowledge_asked": care["asked"],
            "knowledge_unanswered": care["unanswered"],
        },
    )


_CLASSES: Sequence[tuple[str, str, Mapping[str, str]]] = (
    (
        "response_time",
        "the longer the first response takes",
        {"0": "under 15 min", "1": "under 2 h", "2": "under 1 day", "3": "1 day and more"},
    ),
    (
        "resolution_time",
        "the longer the resolution takes",
        {"0": "under 4 h", "1": "under 1 day", "2": "under 3 days", "3": "3 days and more"},
    ),
    ("hand_overs", "the more hands they pass through", {"0": "0", "1": "1", "2": "2", "3": "3 +"}),
)


def _satisfaction(ratings: Ratings) -> Iterable[Cause]:
    for place, (cause, when, names) in enumerate(_CLASSES):
        classes: dict[str, list[int]] = {}
        for key, n in ratings.items():
            if (name := key.split(".")[place]) != NEVER:
                sums = classes.setdefault(name, [0, 0, 0])
                for index, field in enumerate(("n", "score", "squares")):
                    sums[index] += n[field]
        count = sum(n for n, _, _ in classes.values())
        r = correlation(classes) if count >= LEAST_RATINGS else None
        if r is None:
            said = f"Too few ratings ({count}) to tell whether they fall {when}."
        elif r < 0:
            said = f"Ratings fall {when} (correlation {r}, {count} ratings)."
        else:
            said = f"Ratings do not fall {when} (correlation {r}, {count} ratings)."
        yield Cause(
            Concern.LOW_SATISFACTION,
            cause,
            max(0.0, -(r or 0.0)),
            said,
            {"ratings": count, "correlation": r},
            classes=[
                ScoreOf(label, classes[name][0], share(classes[name][1], classes[name][0]))
                for name, label in names.items()
                if classes.get(name, [0])[0]
            ],
        )


def correlation(classes: Mapping[str, Sequence[int]]) -> float | None:
    """Pearson's r of class (0, 1, 2, ...) and score, from sums; None where one never varies."""
    n = sum(values[0] for values in classes.values())
    x = sum(int(name) * values[0] for name, values in classes.items())
    xx = sum(int(name) ** 2 * values[0] for name, values in classes.items())
    y = sum(values[1] for values in classes.values())
    yy = sum(values[2] for values in classes.values())
    xy = sum(int(name) * values[1] for name, values in classes.items())
    spread = (n * xx - x * x) * (n * yy - y * y)
    return round((n * xy - x * y) / sqrt(spread), DIGITS) if spread > 0 else None
