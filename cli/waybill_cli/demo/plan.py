"""The tickets of one run of the demonstration, and how far each has come."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from waybill_cli.demo.questions import Question

STAGES = ("accepted", "assigned", "clocks running", "receipts delivered")


@dataclass(slots=True)
class Ticket:
    """One ticket of the run, from the request to its receipt."""

    place: int
    door: str
    question: Question
    email: str
    reference: str
    sent_at: datetime | None = None
    id: str | None = None
    number: str | None = None
    assigned: bool = False
    clock: bool = False
    receipt_at: datetime | None = None
    error: str | None = None

    @property
    def stages(self) -> tuple[bool, bool, bool, bool]:
        """Which of `STAGES` it has passed."""
        return (self.number is not None, self.assigned, self.clock, self.receipt_at is not None)

    @property
    def seconds(self) -> float | None:
        """From the request to the receipt, None before that."""
        if self.sent_at is None or self.receipt_at is None:
            return None
        return (self.receipt_at - self.sent_at).total_seconds()

    @property
    def label(self) -> str:
        """Its number, else how it was sent."""
        return self.number or f"#{self.place} ({self.door})"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be sent; `tag` marks the tickets of this run."""

    tag: str
    tickets: list[Ticket]
    rate: float
    patience: float


def plan(questions: Sequence[Question], *, rate: float, patience: float) -> Plan:
    """A ticket for each question, through REST and Kafka in turn, each from its own submitter."""
    tag = f"demo-{secrets.token_hex(4)}"
    tickets = [
        Ticket(
            place=place,
            door="REST" if place % 2 else "Kafka",
            question=question,
            email=f"{tag}.{place}@example.com",
            reference=f"{tag}-{place}",
        )
        for place, question in enumerate(questions, start=1)
    ]
    return Plan(tag, tickets, rate, patience)
