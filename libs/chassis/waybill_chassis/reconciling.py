"""Compares what a service keeps of others' facts with the owners, and puts right what differs.

What differs is compared again after a pause before it counts: most of it was merely on its way.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Literal, Protocol, TypeVar
from uuid import UUID

import structlog
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from waybill.common.v1.reconcile_pb2 import Difference, ReconcileReport

from waybill_chassis.events import InvalidEvent
from waybill_chassis.problems import Unavailable
from waybill_chassis.rpc import Peer

F = TypeVar("F")

Ask = Callable[[Timestamp | None, Sequence[UUID]], AsyncIterator[F]]
"""An owner's facts: those changed since a time (None: all), or those of some aggregates only."""

AT_ONCE = 500
_MOST_TOLD = 1000
_ANSWER_SECONDS = 600.0

log = structlog.get_logger(__name__)


class Asked(Protocol):
    """The `ReconcileRequest` of any service."""

    repair: bool

    @property
    def updated_since(self) -> Timestamp:
        """Only what changed from then on is compared."""
        ...

    def HasField(self, name: Literal["updated_since"], /) -> bool:  # noqa: N802 - protobuf's
        """Whether that is given."""
        ...


@dataclass(frozen=True, slots=True)
class Finding:
    """A field that is held otherwise than its owner says, both as text."""

    field: str
    held: str = ""
    owned: str = ""


MISSING = [Finding("(missing)")]
"""What is found where the aggregate is not known at all."""


@dataclass(frozen=True, slots=True)
class Owner(Generic[F]):
    """A service that owns facts: how to ask for them, compare them and take them over.

    `compare` finds nothing in what agrees, and in what has been heard later than the owner said.
    """

    name: str
    ask: Ask[F]
    subject: Callable[[F], UUID]
    compare: Callable[[Sequence[F]], Awaitable[Mapping[UUID, Sequence[Finding]]]]
    repair: Callable[[Sequence[F]], Awaitable[None]]


def asking(
    peer: Peer[Any], method: str, request: Callable[..., Message], read: Callable[[Any], F]
) -> Ask[F]:
    """Asks by a `StreamX` of the contracts; `read` makes a fact of each answer."""

    async def ask(since: Timestamp | None, ids: Sequence[UUID]) -> AsyncIterator[F]:
        asked = request(updated_since=since, ticket_ids=[str(id) for id in ids])
        answers = peer.stream(getattr(peer.stub, method), asked, timeout=_ANSWER_SECONDS)
        async for answer in answers:
            try:
                yield read(answer)
            except InvalidEvent as error:
                log.warning("fact_not_understood", owner=peer.name, reason=str(error))

    return ask


def differing(held: Mapping[str, Any], owned: Mapping[str, Any]) -> list[Finding]:
    """The fields of `owned` that are held otherwise."""
    return [
        Finding(field, _text(held[field]), _text(value))
        for field, value in owned.items()
        if held[field] != value
    ]


async def reconcile(
    owners: Iterable[Owner[Any]], request: Asked, *, pause: float
) -> ReconcileReport:
    """What a `Reconcile` answers; an owner that is away is named in it. `pause` in seconds."""
    report = ReconcileReport()
    since = request.updated_since if request.HasField("updated_since") else None
    for owner in owners:
        try:
            await _compare_with(owner, report, repair=request.repair, since=since, pause=pause)
        except Unavailable:
            report.unreachable.append(owner.name)
    return report


def tell(
    report: ReconcileReport,
    owner: str,
    subject: UUID,
    findings: Iterable[Finding],
    *,
    repaired: bool,
) -> None:
    """Count an aggregate that differs, and tell of it while there is room."""
    report.differing += 1
    report.repaired += repaired
    for found in findings:
        if len(report.differences) < _MOST_TOLD:
            report.differences.append(
                Difference(
                    owner=owner,
                    subject=str(subject),
                    field=found.field,
                    held=found.held,
                    owned=found.owned,
                    repaired=repaired,
                )
            )


async def _compare_with(
    owner: Owner[Any],
    report: ReconcileReport,
    *,
    repair: bool,
    since: Timestamp | None,
    pause: float,
) -> None:
    suspects: list[UUID] = []
    async for batch in _batches(owner.ask(since, ())):
        report.checked += len(batch)
        suspects += await _differing(owner, batch)
    if not suspects:
        return
    await asyncio.sleep(pause)
    for start in range(0, len(suspects), AT_ONCE):
        async for batch in _batches(owner.ask(None, suspects[start : start + AT_ONCE])):
            found = await _differing(owner, batch)
            wrong = set(found)
            if repair and found:
                right = [fact for fact in batch if owner.subject(fact) in found]
                await owner.repair(right)
                wrong = set(await _differing(owner, right))
            for subject, findings in found.items():
                tell(report, owner.name, subject, findings, repaired=subject not in wrong)


async def _differing(owner: Owner[F], batch: Sequence[F]) -> dict[UUID, Sequence[Finding]]:
    found = await owner.compare(batch)
    return {subject: findings for subject, findings in found.items() if findings}


async def _batches(facts: AsyncIterator[F]) -> AsyncIterator[list[F]]:
    batch: list[F] = []
    async for fact in facts:
        batch.append(fact)
        if len(batch) == AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value.isoformat() if isinstance(value, datetime) else str(value)
