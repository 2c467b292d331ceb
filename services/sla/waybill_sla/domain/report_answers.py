"""What a report tells, made of counted targets."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from waybill_sla.domain.report import Cause
from waybill_sla.domain.words import TargetKind


class By(StrEnum):
    """What targets are grouped by."""

    PRODUCT = "product"
    TEAM = "team"
    AGENT = "agent"
    PRIORITY = "priority"
    TYPE = "type"


@dataclass(frozen=True, slots=True)
class Counted:
    """So many decided targets of a group or, with a `part`, of an interval."""

    kind: TargetKind
    key: str | None
    part: int | None
    breached: bool
    cause: Cause | None
    targets: int


@dataclass(frozen=True, slots=True)
class Opened:
    """So many targets of a group and an interval that are not decided."""

    kind: TargetKind
    key: str | None
    part: int
    targets: int


@dataclass(frozen=True, slots=True)
class Attainment:
    """How the targets of one kind that were due came out."""

    target: TargetKind
    due: int
    met: int
    breached: int
    open: int
    """Neither met nor breached: they run or are paused; in no rate."""
    attainment: float | None
    """The share that was met of those that are decided; None of none."""
    timeout_rate: float | None
    """The share that was breached of those that are decided; None of none."""


@dataclass(frozen=True, slots=True)
class CauseCount:
    """How many breaches have a cause; None for those that are not judged yet."""

    cause: Cause | None
    breaches: int
    share: float


@dataclass(frozen=True, slots=True)
class Group:
    """The targets of one product, team, agent, priority or type; None: there was none."""

    key: str | None
    name: str | None
    """What an agent is called."""
    targets: list[Attainment]
    causes: list[CauseCount]


@dataclass(frozen=True, slots=True)
class Part:
    """The targets due in one interval, from `start` up to the next one's."""

    start: datetime
    targets: list[Attainment]


@dataclass(frozen=True, slots=True)
class Report:
    """What came of the targets that were due in a period."""

    targets: list[Attainment]
    causes: list[CauseCount]
    groups: list[Group]
    trend: list[Part]


class _Sum:
    """What is counted of one group, one interval, or all."""

    def __init__(self) -> None:
        self.met: dict[TargetKind, int] = defaultdict(int)
        self.breached: dict[TargetKind, int] = defaultdict(int)
        self.open: dict[TargetKind, int] = defaultdict(int)
        self.causes: dict[Cause | None, int] = defaultdict(int)

    def add(self, one: Counted) -> None:
        (self.breached if one.breached else self.met)[one.kind] += one.targets
        if one.breached:
            self.causes[one.cause] += one.targets

    @property
    def due(self) -> int:
        return sum(sum(one.values()) for one in (self.met, self.breached, self.open))

    def targets(self) -> list[Attainment]:
        kinds = [kind for kind in TargetKind if kind in {*self.met, *self.breached, *self.open}]
        return [
            _attainment(kind, self.met[kind], self.breached[kind], self.open[kind])
            for kind in kinds
        ]

    def why(self) -> list[CauseCount]:
        total = sum(self.causes.values())
        found = sorted(self.causes.items(), key=lambda one: (-one[1], one[0] or ""))
        return [CauseCount(cause, count, round(count / total, 4)) for cause, count in found]


def report(
    decided: Iterable[Counted],
    waiting: Iterable[Opened],
    marks: Sequence[int],
    names: dict[str, str],
) -> Report:
    """The report: groups by how much was due, intervals in their order, all of them."""
    total = _Sum()
    groups: dict[str | None, _Sum] = defaultdict(_Sum)
    parts = [_Sum() for _ in marks[:-1]]
    for one in decided:
        if one.part is not None:
            parts[one.part].add(one)
        else:
            total.add(one)
            groups[one.key].add(one)
    for left in waiting:
        for counted in (total, groups[left.key], parts[left.part]):
            counted.open[left.kind] += left.targets
    ordered = sorted(groups.items(), key=lambda one: (-one[1].due, one[0] or ""))
    return Report(
        total.targets(),
        total.why(),
        [Group(key, names.get(key or ""), found.targets(), found.why()) for key, found in ordered],
        [
            Part(datetime.fromtimestamp(start, UTC), found.targets())
            for start, found in zip(marks, parts, strict=False)
        ],
    )


def _attainment(kind: TargetKind, met: int, breached: int, waiting: int) -> Attainment:
    decided = met + breached
    return Attainment(
        kind,
        decided + waiting,
        met,
        breached,
        waiting,
        round(met / decided, 4) if decided else None,
        round(breached / decided, 4) if decided else None,
    )
