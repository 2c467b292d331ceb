"""What is promised holds after processes were killed and frozen at random under load.

One run, looked at promise by promise; the numbers are those of docs/guarantees.md.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import timedelta

import pytest
from waybill.common.v1.actor_pb2 import ACTOR_KIND_AGENT
from waybill.common.v1.ticket_enums_pb2 import (
    CLOSE_REASON_AUTO_CLOSED,
    ESCALATION_LEVEL_TECH_TEAM,
    STATUS_CLOSED,
    STATUS_RESOLVED,
    FollowUpKind,
    TargetKind,
)
from waybill.intake.v1.ticket_pb2 import MESSAGE_KIND_REPLY

from .conftest import RESOLUTION_SECONDS, RESPONSE_SECONDS, SECONDS, Aftermath
from .facts import Owned, Told, last, moment, same
from .load import Ticket

pytestmark = pytest.mark.timeout(900 + 6 * SECONDS)

MILLISECOND = timedelta(milliseconds=1)
"""The broker keeps its times no finer."""

MAILS = {
    "TicketOpened": "receipt",
    "MessagePosted": "agent_reply",
    "TicketStatusChanged": "resolved or closed",
    "ReminderPosted": "reminder",
}


def by_mark(aftermath: Aftermath) -> dict[str, list[Owned]]:
    """The tickets that intake has, by the word that only their title has."""
    found: dict[str, list[Owned]] = defaultdict(list)
    for owned in aftermath.facts.tickets.values():
        found[owned.state.title.split()[0]].append(owned)
    return found


def of_kind(aftermath: Aftermath, *kinds: str) -> list[tuple[Ticket, Owned]]:
    """The tickets of these kinds with what intake says of them."""
    owned = by_mark(aftermath)
    return [
        (ticket, owned[ticket.mark][0])
        for ticket in aftermath.tickets
        if ticket.kind in kinds and owned[ticket.mark]
    ]


def more_than_once(things: Iterable[object]) -> list[object]:
    return [thing for thing, count in Counter(things).items() if count > 1]


def test_processes_died_and_everybody_was_answered_in_the_end(aftermath: Aftermath) -> None:
    done = aftermath.killer.done
    assert done["killed"] >= 2, done
    assert done["frozen"] >= 1, done
    # Who is away is a 503 or no answer at all; anything else is a bug that somebody ran into.
    assert not aftermath.troubles.keys() & {"500", "501"}, aftermath.troubles
    given_up = {t.mark: t.given_up for t in aftermath.tickets if t.given_up}
    assert not given_up
    assert all(ticket.accepted for ticket in aftermath.tickets)
    status = aftermath.stack.run("status")
    assert status.code == 0, status.out


def test_1_every_accepted_ticket_exists_exactly_once(aftermath: Aftermath) -> None:
    owned = by_mark(aftermath)
    counts = {t.mark: len(owned[t.mark]) for t in aftermath.tickets if t.accepted}
    assert not [mark for mark, count in counts.items() if count == 0], "lost"
    assert not [mark for mark, count in counts.items() if count > 1], "doubled"
    for ticket in aftermath.tickets:
        (found,) = owned[ticket.mark]
        assert ticket.ids <= {found.state.id}, f"{ticket.mark} was told of under several ids"
        assert found.state.occurrences == 1, f"{ticket.mark}: a repeated ce_id was counted"
    assert not aftermath.facts.named("RequestRejected")


def test_1_every_accepted_message_exists_exactly_once(aftermath: Aftermath) -> None:
    counts = Counter(message["body"] for message in aftermath.facts.messages)
    for ticket in aftermath.tickets:
        for body in ticket.posted:
            assert counts[body] == 1, f"{counts[body]} times: {body}"


def test_2_events_are_published_in_order_and_repeated_only_under_their_id(
    aftermath: Aftermath,
) -> None:
    told: dict[tuple[str, str], list[Told]] = defaultdict(list)
    for record in [*aftermath.facts.records, *aftermath.facts.feed]:
        if record.sequence is not None:
            told[record.source, record.subject].append(record)
    assert told
    for (source, subject), records in told.items():
        assert len({(r.topic, r.partition) for r in records}) == 1, f"{subject} moved: {source}"
        first: dict[str, Told] = {}
        for record in records:
            first.setdefault(record.id, record)
        sequences = [record.sequence for record in first.values()]
        wanted = list(range(1, len(first) + 1))
        assert sequences == wanted, f"{source} tells of {subject} in the order {sequences}"


def test_2_the_state_of_every_owner_is_what_its_last_event_says(aftermath: Aftermath) -> None:
    facts = aftermath.facts
    for owner, field, owned in (
        ("intake", "ticket", facts.tickets),
        ("routing", "assignment", facts.assignments),
        ("sla", "clock", facts.clocks),
    ):
        told = last(
            [
                event
                for event in facts.events
                if event.source == f"/waybill/{owner}" and event.name != "AgentPresenceChanged"
            ]
        )
        assert owned.keys() == told.keys(), owner
        for id, event in told.items():
            assert event.sequence == owned[id].sequence, f"{owner} has told less than it did: {id}"
            state = getattr(event.message, field)
            assert same(state, owned[id].state), f"{owner} is not as it said: {event}"


def test_3_the_log_has_each_event_about_a_ticket_once(aftermath: Aftermath) -> None:
    facts = aftermath.facts
    lines = [(line["source"], line["event_id"]) for line in facts.log]
    assert not more_than_once(lines)
    wanted = {(e.source, e.id): e for e in facts.events if e.subject in facts.tickets}
    assert not [str(event) for key, event in wanted.items() if key not in set(lines)], "missing"
    assert not set(lines) - wanted.keys(), "a line without an event"


def test_3_each_event_asks_for_its_mail_once(aftermath: Aftermath) -> None:
    facts = aftermath.facts
    asked = Counter(delivery["event_id"] for delivery in facts.deliveries)
    for event in facts.named(*MAILS):
        if not wants_mail(event):
            continue
        what = f"{asked[event.id]} mails ({MAILS[event.name]}) of {event}"
        assert asked.pop(event.id, 0) == 1, what
    assert not asked, "deliveries that nothing asked for"


def wants_mail(event: Told) -> bool:
    """Whether somebody is to be written to because of this event."""
    message = event.message
    match event.name:
        case "MessagePosted":
            is_reply = message.message.kind == MESSAGE_KIND_REPLY
            return is_reply and message.actor.kind == ACTOR_KIND_AGENT
        case "TicketStatusChanged":
            return message.to in (STATUS_RESOLVED, STATUS_CLOSED)
    return True


def test_3_a_mail_goes_out_again_only_in_another_attempt_and_under_its_message_id(
    aftermath: Aftermath,
) -> None:
    facts = aftermath.facts
    attempts = {d["message_id"]: d["attempts"] for d in facts.deliveries}
    assert len(attempts) == len(facts.deliveries), "two deliveries share a Message-ID"
    assert facts.mails.keys() <= attempts.keys(), "a mail of no delivery"
    for message_id, count in facts.mails.items():
        assert count <= attempts[message_id], f"{count} mails, {attempts[message_id]} attempts"
    twice = sum(facts.mails.values()) - len(facts.mails)
    print(f"{len(facts.mails)} mails, {twice} of them sent again after a crash")


def test_3_the_feed_tells_each_public_event_once(aftermath: Aftermath) -> None:
    facts = aftermath.facts
    told = {record.id for record in facts.feed}
    assigned = {r.id for r in facts.feed if b'"what":"assigned"' in r.value}
    public = [e for e in facts.events if e.source == "/waybill/intake" and is_public(e)]
    assert len(told - assigned) == len(public)
    assert len(assigned) <= len(facts.named("TicketAssigned"))


def is_public(event: Told) -> bool:
    """Whether it is told beyond the agents: who follows a ticket is theirs to know."""
    if event.name != "TicketEdited":
        return True
    return {change.field for change in event.message.changes} != {"watchers"}


def test_4_of_simultaneous_claims_exactly_one_wins_and_the_others_learn_who(
    aftermath: Aftermath,
) -> None:
    assigned: dict[str, list[str]] = defaultdict(list)
    for event in aftermath.facts.named("TicketAssigned"):
        assigned[event.subject].append(event.message.assignment.agent.email)
    contested = of_kind(aftermath, "contested")
    assert contested
    for ticket, owned in contested:
        won = [agent for agent, answer in ticket.claims.items() if answer.status_code == 200]
        lost = [answer for answer in ticket.claims.values() if answer.status_code != 200]
        assert len(won) == 1, f"{ticket.mark}: {won} were told that they have it"
        name = ticket.claims[won[0]].json()["agent"]["name"]
        for answer in lost:
            assert answer.status_code == 409, f"{ticket.mark}: {answer.status_code} {answer.text}"
            assert name in answer.text, f"{ticket.mark}: the winner is not named: {answer.text}"
        assert assigned[owned.state.id] == [f"{won[0]}@example.com"], ticket.mark


def test_4_intake_shows_the_assignee_that_routing_has(aftermath: Aftermath) -> None:
    facts = aftermath.facts
    for id in facts.tickets:
        assert id in facts.assignments, f"routing has not placed {id}"
        has = facts.assignments[id].state
        shown = facts.projections[id]
        assert (shown["agent_id"] or "") == has.agent.id, id
        assert (shown["team"] or "") == has.team, id


def test_5_every_deadline_that_passed_was_told_once_and_never_early(aftermath: Aftermath) -> None:
    breaches: dict[tuple[str, int], list[Told]] = defaultdict(list)
    for event in aftermath.facts.named("TargetBreached"):
        breaches[event.subject, event.message.kind].append(event)
    hurried = of_kind(aftermath, "hurried")
    assert hurried
    for ticket, owned in hurried:
        for kind, seconds in (
            (TargetKind.TARGET_KIND_RESPONSE, RESPONSE_SECONDS),
            (TargetKind.TARGET_KIND_RESOLUTION, RESOLUTION_SECONDS),
        ):
            found = breaches.pop((owned.state.id, kind), [])
            name = f"{TargetKind.Name(kind)} of {ticket.mark}"
            assert len(found) == 1, f"{name} breached {len(found)} times"
            due = moment(owned.state.created_at) + timedelta(seconds=seconds)
            breach = found[0].message
            assert moment(breach.due_at) == found[0].time == due, name
            assert moment(breach.detected_at) >= due, f"{name} before it was due"
            assert found[0].appended_at + MILLISECOND > due, f"{name} before it was due"
        state = aftermath.facts.clocks[owned.state.id].state
        assert state.escalation_level == ESCALATION_LEVEL_TECH_TEAM, ticket.mark
    assert not breaches, "breached although there was time"
    assert not aftermath.facts.named("BreachRetracted")


def test_5_every_warning_is_given_once_and_never_early(aftermath: Aftermath) -> None:
    warned = aftermath.facts.named("TargetAtRisk")
    assert warned
    keys = [(e.subject, e.message.kind, e.message.share) for e in warned]
    assert not more_than_once(keys)
    shares: dict[tuple[str, int], list[float]] = defaultdict(list)
    for event in warned:
        assert event.appended_at + MILLISECOND > event.time, f"early: {event}"
        shares[event.subject, event.message.kind].append(event.message.share)
    assert all(found == sorted(found) for found in shares.values())
    # Whatever stops and whoever notices, the last share is told before its breach.
    late = {(e.subject, e.message.kind) for e in aftermath.facts.named("TargetBreached")}
    assert late
    print(f"{len(warned)} warnings before {len(late)} breaches")
    for target in late:
        assert shares[target][-1:] == [0.9], f"{target}: {shares[target]}"


def test_5_every_follow_up_comes_due_once_and_is_acted_on_once(aftermath: Aftermath) -> None:
    facts = aftermath.facts
    due: dict[str, list[str]] = defaultdict(list)
    for event in facts.named("FollowUpDue"):
        assert event.appended_at + MILLISECOND > moment(event.message.due_at), f"early: {event}"
        due[event.subject].append(FollowUpKind.Name(event.message.kind))
    reminded = Counter(event.subject for event in facts.named("ReminderPosted"))
    waits = ["REMINDER_1", "REMINDER_2", "AUTO_CLOSE_AWAITING"]
    for kinds, wanted, reminders in (
        (("awaited",), waits, 2),
        (("contested", "recovered"), ["AUTO_CLOSE_RESOLVED"], 0),
    ):
        found = of_kind(aftermath, *kinds)
        assert found
        for ticket, owned in found:
            id = owned.state.id
            names = [name.removeprefix("FOLLOW_UP_KIND_") for name in due.pop(id, [])]
            assert names == wanted, f"{ticket.mark}: {names}"
            assert reminded[id] == reminders, f"{ticket.mark}: {reminded[id]} reminders"
            assert owned.state.close_reason == CLOSE_REASON_AUTO_CLOSED, ticket.mark
    assert not due


def test_6_nothing_became_a_dead_letter(aftermath: Aftermath) -> None:
    said = aftermath.stack.run("dlq", "list")
    assert said.out == "no dead letters\n", said.out + said.err


def test_7_every_notification_was_delivered_or_is_dead_with_a_reason(aftermath: Aftermath) -> None:
    facts = aftermath.facts
    accepted = {a["delivery_id"] for a in facts.attempts if a["outcome"] == "accepted"}
    told = Counter(e.message.delivery.id for e in facts.named("NotificationDelivered"))
    for delivery in facts.deliveries:
        if delivery["state"] == "dead":
            assert delivery["last_error"], f"dead without a reason: {delivery['id']}"
            continue
        assert delivery["state"] == "delivered", dict(delivery)
        assert delivery["id"] in accepted, f"delivered in no attempt: {delivery['id']}"
        assert facts.mails[delivery["message_id"]] >= 1, f"no mail of {delivery['id']}"
        assert told[str(delivery["id"])] == 1, f"told {told[str(delivery['id'])]} times"


def test_10_one_trace_leads_from_the_request_to_the_delivery(aftermath: Aftermath) -> None:
    facts = aftermath.facts
    receipts = {
        str(d["ticket_id"]): d["id"] for d in facts.deliveries if d["template"] == "receipt"
    }
    attempts = defaultdict(set)
    for attempt in facts.attempts:
        attempts[attempt["delivery_id"]].add((attempt["traceparent"] or "--").split("-")[1])
    log: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for line in facts.log:
        log[str(line["ticket_id"])][line["type"].rpartition(".")[2]].add(line["trace_id"])
    asked_by_rest = [
        pair for pair in of_kind(aftermath, *{t.kind for t in aftermath.tickets}) if pair[0].ids
    ]
    assert asked_by_rest
    for ticket, owned in asked_by_rest:
        id = owned.state.id
        for name in ("TicketOpened", "ClockStarted", "NotificationDelivered"):
            assert ticket.trace_id in log[id][name], f"{name} of {ticket.mark} is on another trace"
        assert attempts[receipts[id]] == {ticket.trace_id}, f"the receipt of {ticket.mark}"


def test_11_projections_agree_with_their_owners_without_repair(aftermath: Aftermath) -> None:
    said = aftermath.stack.run("reconcile")
    assert said.code == 0, said.out + said.err
    for line in said.out.splitlines()[1:]:
        assert int(line.split()[1]) >= len(aftermath.tickets) // 2, line
