"""How late timers were, with and without something down, and how soon others took over."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from .facts import Told, moment
from .fleet import Fault
from .lives import Life

AFTER = timedelta(seconds=5)
"""So long after a fault what comes due still counts as having come due during it."""
LOST = ("killed", "frozen")
"""Others have to take over."""


@dataclass(frozen=True, slots=True)
class Firing:
    """A breach or a warning, told as it should be: when it was due, judged, and readable."""

    due: datetime
    judged: datetime
    readable: datetime


def reckoned(
    lives: Mapping[str, Life],
    faults: Sequence[Fault],
    records: Sequence[Told],
    heard: Sequence[Told],
) -> list[str]:
    """A table of what happened."""
    firings = list(_firings(lives, records, heard))
    down = [fault for fault in faults if fault.what not in ("ahead", "behind")]
    troubled = [one for one in firings if any(_during(one.due, fault) for fault in down)]
    calm = [one for one in firings if not any(_during(one.due, fault) for fault in down)]
    mistaken = sum(told.name == "BreachRetracted" for told in records)
    return [
        f"{len(lives)} tickets, {len(records)} events, {len(firings)} of timers due in time;"
        f" {mistaken} breaches taken back; {len(faults)} faults",
        f"{'':34}{'timers':>8}{'p50':>9}{'p99':>9}{'max':>9}",
        *_rows("nothing down", calm),
        *_rows("something down", troubled),
        *(line for fault in faults if fault.what in LOST for line in _takeover(fault, firings)),
    ]


def _firings(
    lives: Mapping[str, Life], records: Sequence[Told], heard: Sequence[Told]
) -> Iterator[Firing]:
    """Those of which sla had heard all that had happened when they came due."""
    known: dict[str, datetime] = {}
    for told in heard:
        # What was told late is heard late.
        if told.appended_at - told.time > timedelta(seconds=0.5):
            known[told.subject] = max(known.get(told.subject, told.appended_at), told.appended_at)
    first = {told.id: told for told in reversed(records)}
    for told in first.values():
        if told.name in ("ClockStarted", "ClockPaused", "ClockResumed"):
            at = moment(told.message.clock.updated_at)
            known[told.subject] = max(known.get(told.subject, at), at)
    for told in first.values():
        life = lives[told.subject]
        if told.name == "TargetBreached":
            true = told.time in life.breaches(told.message.kind)
            judged = moment(told.message.detected_at)
        elif told.name == "TargetAtRisk":
            true = life.warnings(told.message.kind).get(told.message.share) == told.time
            judged = moment(told.message.clock.updated_at)
        else:
            continue
        if true and known[told.subject] < told.time:
            yield Firing(told.time, judged, told.appended_at)


def _during(at: datetime, fault: Fault) -> bool:
    return fault.began <= at <= fault.ended + AFTER


def _rows(name: str, firings: Sequence[Firing]) -> list[str]:
    return [
        _row(f"{name}: due to judged", [one.judged - one.due for one in firings]),
        _row(f"{name}: due to readable", [one.readable - one.due for one in firings]),
    ]


def _row(name: str, late: Sequence[timedelta]) -> str:
    if not late:
        return f"{name:34}{0:>8}"
    ordered = sorted(one.total_seconds() for one in late)
    p50, p99 = (ordered[int(len(ordered) * share)] for share in (0.5, 0.99))
    return f"{name:34}{len(ordered):>8}{p50:>8.3f}s{p99:>8.3f}s{ordered[-1]:>8.3f}s"


def _takeover(fault: Fault, firings: Sequence[Firing]) -> Iterator[str]:
    """From the loss of a replica until another did what came due next, and the longest wait."""
    # Nothing that is judged until it is back can have been judged by the lost one.
    due = sorted(
        (one for one in firings if fault.began <= one.due <= fault.began + AFTER),
        key=lambda one: one.due,
    )
    if due:
        following = min(one.judged for one in due) - fault.began
        waited = max(one.judged - one.due for one in due)
        readable = max(one.readable - one.due for one in due)
        yield (
            f"{fault.whom} {fault.what}: the next timer fired {following.total_seconds():.2f} s"
            f" later; the longest wait of {len(due)} that came due in {AFTER.seconds} s:"
            f" {waited.total_seconds():.2f} s, readable after {readable.total_seconds():.2f} s"
        )
