"""Two tickets become one, and, within a day, two again."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from waybill_chassis.problems import Conflict, invalid_field

from waybill_intake.domain.moves import MERGES, Move, enter
from waybill_intake.domain.rules import edit
from waybill_intake.domain.ticket import Change, Edited, Fact, Merge, Merged, Ticket
from waybill_intake.domain.words import CloseReason, MergeRole, Status


class CannotMerge(Conflict):
    """Two tickets that are not to become one."""

    title = "Cannot merge"


class CannotUndo(Conflict):
    """A merge that is to stay."""

    title = "Cannot undo the merge"


def merge(source: Ticket, target: Ticket, at: datetime, *, id: UUID) -> list[Fact]:
    """Close `source` as a duplicate of `target`, which takes over what hangs on it.

    Messages, attachments and watchers move, and the higher priority stays.
    """
    if source.id == target.id:
        raise invalid_field("into", "must be another ticket")
    if source.product != target.product:
        raise CannotMerge("Only tickets of one product can be merged.")
    for ticket in (source, target):
        if not ticket.is_open:
            raise CannotMerge(
                f"{ticket.number} is closed already.",
                merged_into=ticket.merged_into and str(ticket.merged_into),
            )
    closing = Move(source.status, Status.CLOSED, CloseReason.DUPLICATE)
    assert closing in MERGES
    moved = enter(source, closing, at, merged_into=target.id, attachment_ids=())
    known = {watcher.email for watcher in target.watchers}
    new = tuple(watcher for watcher in source.watchers if watcher.email not in known)
    raised = source.priority.rank > target.priority.rank
    record = Merge(
        id=id,
        source_id=source.id,
        target_id=target.id,
        numbers=(source.number, target.number),
        merged_at=moved.ticket.updated_at,
        status=source.status,
        resolved_at=source.resolved_at,
        priority=target.priority if raised else None,
        set_by_person=target.set_by_person,
        watchers=tuple(watcher.email for watcher in new),
        attachment_ids=source.attachment_ids,
    )
    facts: list[Fact] = [
        moved,
        Merged(ticket=moved.ticket.changed(at), role=MergeRole.SOURCE, merge=record),
    ]
    taken: dict[str, Any] = {}
    if raised:
        taken["priority"] = source.priority
    if new:
        taken["watchers"] = (*target.watchers, *new)
    if taken:
        person = raised and "priority" in source.set_by_person
        facts += (edited := edit(target, taken, at, person=person))
        target = edited[0].ticket
    after = target.changed(at, attachment_ids=(*target.attachment_ids, *source.attachment_ids))
    facts.append(Merged(ticket=after, role=MergeRole.TARGET, merge=record))
    return facts


def undo(
    record: Merge | None, source: Ticket, target: Ticket, at: datetime, within: timedelta
) -> list[Fact]:
    """Both tickets are again as they were before the merge, but for what came since.

    What is put back on the target is only what nobody has changed meanwhile.
    """
    if record is None or source.merged_into is None:
        raise CannotUndo(f"{source.number} is not merged into another ticket.")
    if at - record.merged_at > within:
        hours = round(within.total_seconds() / 3600)
        raise CannotUndo(
            f"{source.number} was merged more than {hours} hours ago: open a new ticket instead."
        )
    if target.merged_into is not None:
        raise CannotUndo(
            f"{target.number} was itself merged into another ticket since: undo that first.",
            merged_into=str(target.merged_into),
        )
    at = max(at, source.updated_at, target.updated_at)
    reopened = source.changed(
        at,
        status=record.status,
        status_since=at,
        episode=source.episode + 1,
        episode_since=at,
        reminders=(),
        resolved_at=record.resolved_at,
        closed_at=None,
        close_reason=None,
        merged_into=None,
        attachment_ids=record.attachment_ids,
    )
    undone = replace(record, undone_at=at)
    facts: list[Fact] = [Merged(ticket=reopened, role=MergeRole.SOURCE, merge=undone)]
    if target.is_open and (edited := _given_back(record, source, target, at)):
        facts.append(edited)
        target = edited.ticket
    gone = set(record.attachment_ids)
    after = target.changed(
        at, attachment_ids=tuple(one for one in target.attachment_ids if one not in gone)
    )
    facts.append(Merged(ticket=after, role=MergeRole.TARGET, merge=undone))
    return facts


def _given_back(record: Merge, source: Ticket, target: Ticket, at: datetime) -> Edited | None:
    fields: dict[str, Any] = {}
    marks = target.set_by_person
    if record.priority is not None and target.priority is source.priority:
        fields["priority"] = record.priority
        if "priority" not in record.set_by_person:
            marks = tuple(mark for mark in marks if mark != "priority")
    kept = tuple(one for one in target.watchers if one.email not in record.watchers)
    if kept != target.watchers:
        fields["watchers"] = kept
    if not fields:
        return None
    changes = tuple(
        Change(field=name, before=getattr(target, name), after=value)
        for name, value in fields.items()
    )
    return Edited(ticket=target.changed(at, set_by_person=marks, **fields), changes=changes)


def is_duplicate(ticket: Ticket, older: Ticket, within: timedelta) -> bool:
    """Whether two tickets of the same text are one: same submitter and product, not long apart."""
    return (
        ticket.is_open
        and older.is_open
        and ticket.id != older.id
        and not ticket.external_ref
        and not older.external_ref
        and ticket.product == older.product
        and ticket.submitter is not None
        and older.submitter is not None
        and ticket.submitter.id == older.submitter.id
        and timedelta() <= ticket.created_at - older.created_at <= within
    )
