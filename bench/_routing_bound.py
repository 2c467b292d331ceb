"""A bound that no policy can beat, not even one that knows the future."""

import math

import numpy as np
from _routing_world import DAY, Drawn, Shift

GRID = 15.0
LONGEST = 480.0


def fewest_late(drawn: Drawn, first: int) -> int:
    """So many of the tickets from the `first` on are begun too late by anybody, whatever they know.

    A ticket in time is worked on wholly between its arrival and its due time plus its length. What
    arrives and has to be done within a window, by the fastest who can do it, has to fit into the
    time of all who can do any of it; what does not fit is late, the longest first. Windows that do
    not overlap add up; which of them say most is found by dynamic programming. Looked at are all
    tickets together and each class by itself, with everybody who has that skill.
    """
    names = list(drawn.scenario.classes)
    arrivals = drawn.arrivals[first:]
    fastest = {
        name: min(
            pace[name] for own, pace in zip(drawn.skills, drawn.paces, strict=True) if name in own
        )
        for name in names
    }
    starts = np.array([each.at for each in arrivals])
    works = np.array([each.work * fastest[each.type] for each in arrivals])
    ends = np.array([each.due for each in arrivals]) + works
    types = np.array([names.index(each.type) for each in arrivals])
    edges = np.arange(math.floor(starts[0] / GRID) * GRID, starts[-1] + LONGEST, GRID)
    arrived = np.searchsorted(starts, edges)
    rooms = [_agents(drawn, None), *(_agents(drawn, name) for name in names)]
    sums = np.array(
        [
            np.concatenate([[0.0], np.cumsum(np.where(own, works, 0.0))])
            for own in (types >= 0, *(types == number for number in range(len(names))))
        ]
    )
    best = np.zeros(len(edges), dtype=int)
    for last in range(1, len(edges)):
        best[last] = best[last - 1]
        begins = np.arange(max(0, last - int(LONGEST / GRID)), last)
        came = sums[:, [arrived[last]]] - sums[:, arrived[begins]]
        room = np.outer(rooms, edges[last] - edges[begins])
        # Only where more arrived than fits anything can be late.
        for begin in begins[(came > room).any(axis=0)]:
            inside = np.arange(arrived[begin], arrived[last])
            inside = inside[ends[inside] <= edges[last]]
            length = edges[last] - edges[begin]
            late = max(
                _over(works[inside], rooms[0] * length),
                *(
                    _over(works[inside][types[inside] == number], rooms[number + 1] * length)
                    for number in range(len(names))
                ),
            )
            best[last] = max(best[last], best[begin] + late)
    return max(int(best[-1]), _unattended(drawn, first))


def _unattended(drawn: Drawn, first: int) -> int:
    """Tickets that are due before anybody who could begin one is there."""
    late = 0
    for each in drawn.arrivals[first:]:
        late += not any(
            each.type in own and _there(shift, each.at, each.due)
            for own, shift in zip(drawn.skills, drawn.shifts, strict=True)
        )
    return late


def _there(shift: Shift | None, since: float, to: float) -> bool:
    if shift is None:
        return True
    comes = (shift.start * 60 - since) % DAY
    return comes <= to - since or comes > DAY - shift.hours * 60


def _over(works: np.ndarray, room: float) -> int:
    excess = works.sum() - room
    if excess <= 0:
        return 0
    return int(np.searchsorted(np.cumsum(np.sort(works)[::-1]), excess)) + 1


def _agents(drawn: Drawn, name: str | None) -> int:
    """How many have this skill; everybody is granted more than their shift."""
    return sum(name is None or name in own for own in drawn.skills)
