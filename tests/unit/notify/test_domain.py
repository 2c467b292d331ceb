"""Who is written to about what, and how often it is tried."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from waybill_notify.domain import (
    Delivery,
    Happening,
    Outcome,
    Person,
    RetryPolicy,
    State,
    Verdict,
    What,
    after_attempt,
    is_address,
    request_for,
    verdict_of,
)

KIM = Person("submitter", "s1", "Kim", "kim@example.org")
ANA = Person("agent", "ana@example.com", "Ana", "ana@example.com")
ROBOT = Person("automation", "intake")
NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
POLICY = RetryPolicy(
    attempts=8,
    first=timedelta(seconds=30),
    factor=3.0,
    most=timedelta(hours=2),
    jitter=0.2,
    patience=timedelta(hours=72),
)


def fact(what: What, actor: Person = ANA, **more: str) -> Happening:
    return Happening(
        what=what,
        actor=actor,
        submitter=more.pop("submitter", KIM),  # type: ignore[arg-type]
        number="WB-1",
        product="demo",
        title="It squeaks",
        **more,  # type: ignore[arg-type]
    )


def delivery(attempts: int = 1, **more: object) -> Delivery:
    found = Delivery(
        id=uuid4(),
        ticket_id=uuid4(),
        product="demo",
        event_id="e",
        event_type="t",
        event_source="s",
        template="receipt",
        channel="email",
        recipient="kim@example.org",
        state=State.PENDING,
        attempts=attempts,
        revived_after=0,
        message_id="<1@x>",
        facts={},
        subject=None,
        text_body=None,
        html_body=None,
        unsubscribe_url=None,
        created_at=NOW,
        waiting_since=NOW,
        updated_at=NOW,
        next_attempt_at=NOW,
        delivered_at=None,
        claim=uuid4(),
        last_error="",
        traceparent=None,
        tracestate=None,
    )
    return replace(found, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("happening", "template"),
    [
        (fact(What.OPENED, KIM), "receipt"),
        (fact(What.MESSAGE_POSTED, ANA, body="hi"), "agent_reply"),
        (fact(What.MESSAGE_POSTED, KIM), None),
        (fact(What.MESSAGE_POSTED, ROBOT), None),
        (fact(What.STATUS_CHANGED, ANA, status="resolved"), "resolved"),
        (fact(What.STATUS_CHANGED, KIM, status="resolved"), None),
        (fact(What.STATUS_CHANGED, ROBOT, status="closed", close_reason="auto_closed"), "closed"),
        (fact(What.STATUS_CHANGED, ROBOT, status="closed", close_reason="duplicate"), None),
        (fact(What.STATUS_CHANGED, KIM, status="closed", close_reason="user_confirmed"), None),
        (fact(What.STATUS_CHANGED, ANA, status="in_progress"), None),
        (fact(What.REMINDER_POSTED, ROBOT), "reminder"),
        (fact(What.EDITED), None),
        (fact(What.ASSIGNED), None),
    ],
)
def test_each_fact_asks_for_its_mail_and_no_other(happening: Happening, template: str) -> None:
    """The whole table, one line a case."""
    request = request_for(happening)
    assert (request and request.template) == template


def test_nobody_is_never_written_to() -> None:
    """Neither where there is no submitter nor where they have no address."""
    assert request_for(replace(fact(What.OPENED), submitter=None)) is None
    assert request_for(replace(fact(What.OPENED), submitter=replace(KIM, email=""))) is None


def test_an_agent_who_asked_themselves_is_not_told_their_own_answer() -> None:
    """Known by the address, whatever its case."""
    asked = Person("submitter", "s9", "Ana", "Ana@Example.com")
    assert request_for(replace(fact(What.MESSAGE_POSTED), submitter=asked)) is None
    other = Person("agent", "ben@example.com", "Ben", "ben@example.com")
    assert request_for(replace(fact(What.MESSAGE_POSTED, other), submitter=asked))


def test_what_is_overtaken_is_not_sent_but_what_was_said_is() -> None:
    """A replayed reminder is pointless; a replayed reply is not."""
    assert request_for(fact(What.REMINDER_POSTED, ROBOT), stale=True) is None
    assert request_for(fact(What.STATUS_CHANGED, status="resolved"), stale=True) is None
    assert request_for(fact(What.MESSAGE_POSTED), stale=True)
    assert request_for(fact(What.OPENED, KIM), stale=True)


def test_pauses_grow_to_a_bound_and_vary_either_way() -> None:
    """30 s, 90 s, ... and never more than two hours and a fifth."""
    assert [POLICY.pause(n, 0.5).total_seconds() for n in (1, 2, 3)] == [30, 90, 270]
    assert POLICY.pause(1, 0.0) == timedelta(seconds=24)
    assert POLICY.pause(1000, 1.0) == timedelta(hours=2.4)


def test_an_attempt_leads_to_where_its_outcome_says() -> None:
    """Accepted ends it; for now waits; for good, or too often, is dead; away costs nothing."""

    def after(verdict: Verdict, attempts: int, **more: object) -> tuple[str, int]:
        change = after_attempt(
            delivery(attempts, **more), Outcome(verdict, "said"), now=NOW, policy=POLICY, chance=0.5
        )
        assert (change.next_attempt_at is None) == (change.state is not State.PENDING)
        return str(change.state), change.attempts

    assert after(Verdict.ACCEPTED, 1) == ("delivered", 1)
    assert after(Verdict.TEMPORARY, 7) == ("pending", 7)
    assert after(Verdict.TEMPORARY, 8) == ("dead", 8)
    assert after(Verdict.TEMPORARY, 8, revived_after=8 - 1) == ("pending", 8)
    assert after(Verdict.PERMANENT, 1) == ("dead", 1)
    assert after(Verdict.AWAY, 1) == ("pending", 0)
    assert after(Verdict.AWAY, 1, waiting_since=NOW - timedelta(days=3)) == ("dead", 0)
    assert after(Verdict.NOT_BEGUN, 1) == ("pending", 0)


def test_codes_mean_what_the_standard_says() -> None:
    """5xx is for good, everything else for now."""
    assert verdict_of(550) is Verdict.PERMANENT
    assert verdict_of(421) is Verdict.TEMPORARY
    assert verdict_of(-1) is Verdict.TEMPORARY


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("kim@example.org", True),
        ("käthe@exämple.org", True),
        ("kim", False),
        ("kim@example.org\nBcc: x@y", False),
        ("a@b, c@d", False),
        ("<a@b>", False),
        ("@", False),
        ("a" * 400 + "@b", False),
    ],
)
def test_only_one_plain_address_is_an_address(text: str, good: bool) -> None:
    """Nothing that could become a header or a second recipient."""
    assert is_address(text) is good
