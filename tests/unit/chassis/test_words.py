"""Enums as words, moments as timestamps, tickets by their numbers."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from waybill.common.v1.ticket_enums_pb2 import EscalationLevel, Status
from waybill.intake.v1.requests_pb2 import TicketRequested
from waybill.intake.v1.ticket_pb2 import Ticket
from waybill_chassis.lookup import parse_number
from waybill_chassis.times import duration, moment, timestamp
from waybill_chassis.words import number, word


def test_every_value_of_an_enum_has_a_word_that_leads_back_to_it() -> None:
    """Its name without the prefix, in lower case."""
    assert word(Status, Status.Value("STATUS_IN_PROGRESS")) == "in_progress"
    for enum in (Status, EscalationLevel):
        for value in enum.values()[1:]:
            assert number(enum, word(enum, value)) == value


def test_what_is_not_given_and_what_is_not_known_yet_have_no_word() -> None:
    """And no word is the unspecified value; a wrong one is a mistake."""
    assert word(Status, 0) == word(Status, 99) == ""
    assert number(Status, None) == number(Status, "") == 0
    with pytest.raises(KeyError):
        number(Status, "lost")


def test_a_field_s_own_description_tells_its_words() -> None:
    """So that a message can be read whose enums nobody has named."""
    field = TicketRequested.DESCRIPTOR.fields_by_name["priority"]
    assert word(field.enum_type, 1) in ("low", "medium", "high", "urgent")


def test_moments_and_spans_survive_the_way_through_a_message() -> None:
    """In UTC, to the microsecond; what is not set is None."""
    at = datetime(2026, 1, 5, 9, 0, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    span = timedelta(hours=-1, microseconds=7)
    ticket = Ticket(
        created_at=timestamp(at), closed_at=timestamp(None), response_time=duration(span)
    )
    assert moment(ticket, "created_at") == at
    assert moment(ticket, "created_at").tzinfo is UTC
    assert moment(ticket, "closed_at") is None
    assert ticket.response_time.ToTimedelta() == span
    assert duration(None) is None


def test_a_number_is_known_in_small_letters_too() -> None:
    """And nothing else is one."""
    assert parse_number("wb-1042") == "WB-1042"
    for text in ("", "1042", "WB-", "WB-1x", "WB-" + "1" * 30, "WB-1\n"):
        assert parse_number(text) is None
