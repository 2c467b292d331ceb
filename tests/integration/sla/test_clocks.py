"""A ticket's clock from events to events: what is told, when it is said to have happened."""

from datetime import timedelta
from typing import Any

from sqlalchemy import text
from waybill.common.v1 import ticket_enums_pb2 as words
from waybill.common.v1.actor_pb2 import ACTOR_KIND_AGENT, ACTOR_KIND_SUBMITTER
from waybill.sla.v1 import events_pb2
from waybill.sla.v1.clock_pb2 import CLOCK_STATE_STOPPED

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def target(message: Any, kind: int) -> Any:
    return next(target for target in message.clock.targets if target.kind == kind)


async def test_an_opened_ticket_gets_a_clock_with_the_default_targets(sla: Any) -> None:
    """ClockStarted carries both targets, and every timer stands in the database."""
    story = sla.ticket("urgent")
    opened = story.opened()
    await sla.hear(opened)
    (started,) = await sla.told(story)
    assert isinstance(started, events_pb2.ClockStarted)
    assert started.cause.id == opened.id
    due = [t.due_at.ToDatetime(tzinfo=sla.clock.now().tzinfo) for t in started.clock.targets]
    assert due == [sla.clock.now() + 15 * MINUTE, sla.clock.now() + 4 * HOUR]
    assert [row.kind for row in await sla.timer_rows(story)].count("warning") == 6


async def test_a_stale_or_repeated_event_changes_nothing(sla: Any) -> None:
    """News with a number that is not higher is ignored, and so is what is not about the clock."""
    story = sla.ticket()
    opened = story.opened()
    moved = story.moved("in_progress", sla.clock.now() + MINUTE)
    await sla.hear(opened, moved)
    await sla.hear(opened)
    await sla.hear(moved, story.noted(sla.clock.now() + MINUTE))
    assert await sla.names(story) == ["ClockStarted"]


async def test_shares_are_told_once_and_from_75_percent_the_target_is_at_risk(sla: Any) -> None:
    """One TargetAtRisk a share, with the time that is left."""
    story = sla.ticket("high")
    await sla.hear(story.opened(), story.replied(sla.clock.now()))
    await sla.pass_time(hours=12)
    await sla.pass_time(hours=6)
    await sla.pass_time(minutes=1)
    half, three_quarters = (await sla.told(story))[2:]
    assert (half.share, three_quarters.share) == (0.5, 0.75)
    assert half.remaining.ToTimedelta() == 12 * HOUR
    assert target(half, words.TARGET_KIND_RESOLUTION).state == words.TARGET_STATE_RUNNING
    assert target(three_quarters, words.TARGET_KIND_RESOLUTION).state == (
        words.TARGET_STATE_AT_RISK
    )


async def test_after_a_stop_only_the_highest_share_is_told(sla: Any) -> None:
    """Nobody wants to hear of 50 % when 90 % are gone."""
    story = sla.ticket("high")
    await sla.hear(story.opened(), story.replied(sla.clock.now()))
    await sla.pass_time(hours=23)
    risk, escalated = (await sla.told(story))[2:]
    assert risk.share == 0.9
    assert escalated.rung == "resolution_at_risk"
    assert list(escalated.teams) == ["senior_support"]
    assert {row.kind for row in await sla.timer_rows(story)} == {"due"}


async def test_a_breach_is_told_as_of_its_deadline_and_never_early(sla: Any) -> None:
    """Nothing a microsecond before; then once, with the deadline as its time."""
    start = sla.clock.now()
    story = sla.ticket("medium")
    await sla.hear(story.opened())
    await sla.pass_time(hours=24, microseconds=-1)
    assert "TargetBreached" not in await sla.names(story)
    await sla.pass_time(microseconds=1)
    await sla.pass_time(minutes=1)
    told = await sla.told_at(story)
    breaches = [(m, at) for m, at in told if isinstance(m, events_pb2.TargetBreached)]
    assert [at for _, at in breaches] == [start + 24 * HOUR]
    assert breaches[0][0].cause.type == "response_due"
    assert [m.rung for m, _ in told if isinstance(m, events_pb2.TicketEscalated)] == [
        "response_breached"
    ]


async def test_waiting_for_the_user_and_being_resolved_are_pauses(sla: Any) -> None:
    """The deadline moves by exactly the time that the clock stood still, reopening included."""
    start = sla.clock.now()
    story = sla.ticket("high")
    await sla.hear(
        story.opened(),
        story.replied(start + HOUR),
        story.moved("awaiting_user", start + HOUR),
        story.moved("in_progress", start + 3 * HOUR),
        story.moved("resolved", start + 5 * HOUR),
        story.moved("in_progress", start + 10 * HOUR),
    )
    told = await sla.told(story)
    assert [type(m).__name__ for m in told] == [
        "ClockStarted",
        "TargetMet",
        "ClockPaused",
        "ClockResumed",
        "ClockPaused",
        "TargetMet",
        "ClockResumed",
    ]
    assert told[-1].paused_for.ToTimedelta() == 5 * HOUR
    resolution = target(told[-1], words.TARGET_KIND_RESOLUTION)
    assert resolution.state == words.TARGET_STATE_RUNNING
    assert resolution.due_at.ToDatetime(tzinfo=start.tzinfo) == start + 31 * HOUR
    assert target(told[-1], words.TARGET_KIND_RESPONSE).state == words.TARGET_STATE_MET


async def test_an_answer_in_time_that_arrives_late_takes_the_breach_back(sla: Any) -> None:
    """BreachRetracted names the breach, TargetMet is not late."""
    start = sla.clock.now()
    story = sla.ticket("urgent")
    await sla.hear(story.opened(), story.assigned(start))
    await sla.pass_time(minutes=16)
    async with sla.database.reading() as connection:
        breach_id = (
            await connection.execute(
                text("SELECT id FROM outbox WHERE type = 'waybill.sla.v1.TargetBreached'")
            )
        ).scalar_one()
    before = len(await sla.names(story))
    await sla.hear(story.replied(start + 14 * MINUTE))
    retracted, met = await sla.told(story, before)
    assert retracted.breach_event_id == str(breach_id)
    assert retracted.met_at.ToDatetime(tzinfo=start.tzinfo) == start + 14 * MINUTE
    assert not met.late
    assert target(met, words.TARGET_KIND_RESPONSE).state == words.TARGET_STATE_MET


async def test_an_answer_after_the_deadline_is_late_whoever_notices_first(sla: Any) -> None:
    """The breach is told even if the answer is heard before the timer has fired."""
    start = sla.clock.now()
    story = sla.ticket("urgent")
    await sla.hear(story.opened(), story.assigned(start))
    sla.clock.advance(20 * MINUTE)
    await sla.hear(story.replied(start + 16 * MINUTE))
    await sla.pass_time(minutes=1)
    told = await sla.told(story)
    names = [type(m).__name__ for m in told]
    assert names.count("TargetBreached") == names.count("TargetMet") == 1
    assert names.index("TargetAtRisk") == names.index("TargetBreached") - 1
    assert told[names.index("TargetAtRisk")].share == 0.9
    assert names.index("TargetBreached") < names.index("TargetMet")
    met = told[names.index("TargetMet")]
    assert met.late
    assert target(met, words.TARGET_KIND_RESPONSE).state == words.TARGET_STATE_BREACHED


async def test_a_change_of_priority_counts_from_the_original_start(sla: Any) -> None:
    """Deadlines are set anew, pauses kept, and a breach that no longer holds is taken back."""
    start = sla.clock.now()
    story = sla.ticket("urgent")
    await sla.hear(story.opened(), story.assigned(start))
    await sla.pass_time(minutes=20)
    before = len(await sla.names(story))
    await sla.hear(story.edited("low", sla.clock.now()))
    started, retracted = await sla.told(story, before)
    assert started.reason == events_pb2.START_REASON_RECOMPUTED
    assert isinstance(retracted, events_pb2.BreachRetracted)
    assert not retracted.HasField("met_at")
    response = target(started, words.TARGET_KIND_RESPONSE)
    assert response.due_at.ToDatetime(tzinfo=start.tzinfo) == start + timedelta(days=3)


async def test_a_closed_ticket_never_speaks_again(sla: Any) -> None:
    """What is open is cancelled, all timers go, later events and deadlines tell nothing."""
    start = sla.clock.now()
    story = sla.ticket("urgent")
    await sla.hear(story.opened(), story.moved("closed", start + MINUTE))
    *_, paused = await sla.told(story)
    assert paused.clock.state == CLOCK_STATE_STOPPED
    assert {t.state for t in paused.clock.targets} == {words.TARGET_STATE_CANCELLED}
    assert await sla.timer_rows(story) == []
    await sla.hear(story.noted(start + HOUR), story.repeated(3, start + HOUR))
    await sla.pass_time(days=30)
    assert await sla.names(story) == ["ClockStarted", "ClockPaused"]


async def test_an_assignment_may_come_before_the_opening(sla: Any) -> None:
    """A stub keeps what routing said; the urgent ticket that somebody has waits for nobody."""
    story = sla.ticket("urgent")
    opened = story.opened()
    await sla.hear(story.assigned(sla.clock.now()))
    await sla.hear(opened)
    await sla.pass_time(minutes=6)
    assert await sla.names(story) == ["ClockStarted"]


async def test_an_urgent_ticket_that_nobody_takes_goes_to_management_once(sla: Any) -> None:
    """The wait counts from the first queueing; a release does not start it anew."""
    start = sla.clock.now()
    story = sla.ticket("urgent")
    await sla.hear(story.opened(), story.queued(start, since=start))
    await sla.pass_time(minutes=5)
    await sla.hear(story.assigned(sla.clock.now()))
    await sla.hear(story.queued(sla.clock.now(), since=start))
    await sla.pass_time(minutes=1)
    told = await sla.told(story)
    (escalated,) = [m for m in told if isinstance(m, events_pb2.TicketEscalated)]
    assert list(escalated.teams) == ["management"]
    assert escalated.trigger == events_pb2.ESCALATION_TRIGGER_UNASSIGNED


async def test_of_several_rungs_only_the_highest_moves_the_ticket(sla: Any) -> None:
    """An urgent breach fires two rungs; the ticket goes to management at once, and once."""
    story = sla.ticket("urgent")
    await sla.hear(story.opened(), story.assigned(sla.clock.now()))
    await sla.pass_time(minutes=15)
    told = await sla.told(story)
    (escalated,) = [m for m in told if isinstance(m, events_pb2.TicketEscalated)]
    assert (escalated.rung, list(escalated.teams)) == ("urgent_breached", ["management"])
    assert escalated.target == words.TARGET_KIND_RESPONSE


async def test_the_third_time_escalates_even_if_heard_before_the_opening(sla: Any) -> None:
    """IssueRepeated is remembered, and named as the cause."""
    story = sla.ticket("low")
    repeated, opened = story.repeated(3, sla.clock.now()), story.opened()
    await sla.hear(repeated)
    await sla.hear(opened)
    _, escalated = await sla.told(story)
    assert escalated.cause.id == repeated.id
    assert escalated.level == words.ESCALATION_LEVEL_SENIOR_SUPPORT


async def test_follow_ups_belong_to_an_episode(sla: Any) -> None:
    """A note changes nothing, an answer cancels; each is told once with its episode."""
    start = sla.clock.now()
    story = sla.ticket("low")
    await sla.hear(story.opened(), story.replied(start), story.moved("awaiting_user", start))
    episode = story.ticket.episode
    await sla.hear(story.noted(start + HOUR))
    await sla.pass_time(hours=24)
    await sla.pass_time(hours=1)
    due = (await sla.told(story))[-1]
    assert isinstance(due, events_pb2.FollowUpDue)
    assert (due.kind, due.episode) == (words.FOLLOW_UP_KIND_REMINDER_1, episode)
    assert (await sla.names(story)).count("FollowUpDue") == 1
    await sla.hear(story.moved("in_progress", sla.clock.now()))
    await sla.pass_time(hours=60)
    assert (await sla.names(story)).count("FollowUpDue") == 1


async def test_a_resolved_ticket_is_due_to_be_closed_after_three_days(sla: Any) -> None:
    """auto_close_resolved, from the time it was resolved."""
    story = sla.ticket("low")
    await sla.hear(story.opened(), story.moved("resolved", sla.clock.now()))
    await sla.pass_time(days=3)
    assert (await sla.told(story))[-1].kind == words.FOLLOW_UP_KIND_AUTO_CLOSE_RESOLVED


async def test_the_address_of_an_erased_person_is_forgotten(sla: Any) -> None:
    """Nothing of it stays in the database."""
    story = sla.ticket()
    await sla.hear(story.opened())
    await sla.hear(story.erased(sla.clock.now()))
    async with sla.database.reading() as connection:
        row = (await connection.execute(text("SELECT to_json(c) AS c FROM clocks c"))).one()
    assert "sam@example.com" not in str(row.c)


async def test_a_later_question_has_a_target_where_the_policy_says_so(sla: Any) -> None:
    """It is kept with its beginning, told of, and met by the agent's next public word."""
    start = sla.clock.now()
    async with sla.database.unit_of_work() as uow:
        await uow.execute(
            text(
                "UPDATE policy_versions SET targets = jsonb_set("
                " targets, '{medium,next_response}', '\"PT4H\"')"
            )
        )
    story = sla.ticket()
    await sla.hear(story.opened(), story.replied(start + MINUTE))
    story.ticket.last_public_message_at.FromDatetime(start + HOUR)
    story.ticket.last_public_message_by = ACTOR_KIND_SUBMITTER
    await sla.hear(story.noted(start + HOUR))
    await sla.pass_time(hours=5)
    breach = (await sla.told(story))[-1]
    assert breach.kind == words.TARGET_KIND_NEXT_RESPONSE
    asked = target(breach, words.TARGET_KIND_NEXT_RESPONSE)
    assert asked.started_at.ToDatetime(tzinfo=start.tzinfo) == start + HOUR
    assert breach.due_at.ToDatetime(tzinfo=start.tzinfo) == start + 5 * HOUR
    story.ticket.last_public_message_at.FromDatetime(start + 6 * HOUR)
    story.ticket.last_public_message_by = ACTOR_KIND_AGENT
    await sla.hear(story.replied(start + 6 * HOUR))
    met = (await sla.told(story))[-1]
    assert (met.kind, met.late) == (words.TARGET_KIND_NEXT_RESPONSE, True)
    assert met.elapsed.ToTimedelta() == 5 * HOUR


async def test_a_reopened_ticket_is_breached_anew_and_escalated_anew(sla: Any) -> None:
    """Solved too late and reopened it is overdue at once: told as of the reopening, once."""
    start = sla.clock.now()
    story = sla.ticket("high")
    await sla.hear(story.opened(), story.replied(start), story.assigned(start))
    await sla.pass_time(hours=25)
    await sla.hear(story.moved("resolved", start + 26 * HOUR))
    before = len(await sla.names(story))
    reopened = start + 30 * HOUR
    sla.clock.advance(5 * HOUR)
    again = story.moved("in_progress", reopened)
    await sla.hear(again)
    await sla.pass_time(hours=1)
    told = await sla.told(story, before)
    resumed, breached, escalated = told
    assert isinstance(resumed, events_pb2.ClockResumed)
    assert isinstance(breached, events_pb2.TargetBreached)
    assert breached.due_at.ToDatetime(tzinfo=start.tzinfo) == reopened
    assert breached.cause.id == again.id
    resolution = target(breached, words.TARGET_KIND_RESOLUTION)
    assert resolution.due_at.ToDatetime(tzinfo=start.tzinfo) == start + 24 * HOUR
    assert resolution.breached_at.ToDatetime(tzinfo=start.tzinfo) == reopened
    assert (escalated.rung, escalated.previous_level) == ("resolution_breached", 0)
    await sla.hear(story.moved("resolved", start + 32 * HOUR))
    met = (await sla.told(story))[-1]
    assert (type(met), met.late) == (events_pb2.TargetMet, True)


async def test_a_reopened_ticket_with_time_left_is_warned_and_breached_by_the_clock(
    sla: Any,
) -> None:
    """What was passed before is told at the reopening, by its highest share; then the rest."""
    start = sla.clock.now()
    story = sla.ticket("high")
    await sla.hear(story.opened(), story.replied(start), story.assigned(start))
    await sla.pass_time(hours=19)
    await sla.hear(story.moved("resolved", start + 19 * HOUR))
    before = len(await sla.names(story))
    sla.clock.advance(10 * HOUR)
    await sla.hear(story.moved("in_progress", start + 29 * HOUR))
    await sla.pass_time(minutes=1)
    await sla.pass_time(hours=3)
    await sla.pass_time(hours=3)
    told = await sla.told_at(story, before)
    at_risk = [(m.share, at) for m, at in told if isinstance(m, events_pb2.TargetAtRisk)]
    assert at_risk == [(0.75, start + 29 * HOUR), (0.9, start + 31.6 * HOUR)]
    assert [at for m, at in told if isinstance(m, events_pb2.TargetBreached)] == [start + 34 * HOUR]
