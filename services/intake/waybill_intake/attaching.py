"""The uploads in hand: whoever names one in a ticket or a message claims it, once."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from waybill_chassis.problems import Problem, invalid_field

from waybill_intake.domain.attachments import Attachment, Owner


class Files:
    """Uploads that are locked, and which of them are taken by now."""

    def __init__(self, known: Mapping[UUID, Attachment], now: datetime, most: int) -> None:
        """`most` may come with one ticket or message."""
        self._free = dict(known)
        self._now = now
        self._most = most

    def claim(self, ids: Sequence[UUID], owner: Owner | None) -> list[Attachment]:
        """These uploads of `owner`; `Invalid` with the place of one that they cannot attach."""
        if len(ids) > self._most:
            raise invalid_field("attachment_ids", f"must be at most {self._most}")
        found = [self._checked(index, id, owner) for index, id in enumerate(ids)]
        for id in ids:
            del self._free[id]
        return found

    def _checked(self, index: int, id: UUID, owner: Owner | None) -> Attachment:
        file = self._free.get(id)
        if file is None or owner is None or not file.belongs_to(owner):
            raise _wrong(index, f"is unknown: you have no upload {id} that waits to be attached")
        if file.ticket_id is not None:
            raise _wrong(index, "is attached already: upload the file again")
        if file.expires_at is not None and file.expires_at <= self._now:
            raise _wrong(index, "has waited too long: upload the file again")
        return file


def _wrong(index: int, message: str) -> Problem:
    return invalid_field(f"attachment_ids.{index}", message)


def ids_in(bodies: Iterable[object]) -> list[UUID]:
    """All that some bodies name."""
    return [id for body in bodies for id in getattr(body, "attachment_ids", None) or ()]
