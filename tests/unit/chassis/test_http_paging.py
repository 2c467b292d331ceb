import base64
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from waybill_chassis.http import Cursor, expected_version
from waybill_chassis.problems import Invalid, Malformed, PreconditionFailed

Position = tuple[datetime, UUID]
TICKETS = Cursor[Position]("tickets", Position)
MESSAGES = Cursor[Position]("messages", Position)
NUMBERS = Cursor[tuple[int]]("tickets", tuple[int])

moments = st.datetimes(timezones=st.just(UTC))


@given(moments, st.uuids())
def test_a_cursor_comes_back_as_the_position_it_was_made_of(moment: datetime, id: UUID) -> None:
    """To the microsecond, else a page would repeat or skip."""
    cursor = TICKETS.encode((moment, id))
    assert TICKETS.decode(cursor) == (moment, id)
    assert set(cursor) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


@given(st.text(max_size=80))
def test_a_made_up_cursor_is_refused(cursor: str) -> None:
    """Whatever it is, the answer is a 422 that names the parameter."""
    with pytest.raises(Invalid) as caught:
        TICKETS.decode(cursor)
    assert caught.value.errors[0]["field"] == "cursor"


def test_an_altered_cursor_is_refused() -> None:
    """A changed byte anywhere is noticed."""
    cursor = TICKETS.encode((datetime(2026, 1, 5, tzinfo=UTC), UUID(int=7)))
    raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    for index in range(len(raw)):
        altered = raw[:index] + bytes([raw[index] ^ 1]) + raw[index + 1 :]
        with pytest.raises(Invalid):
            TICKETS.decode(base64.urlsafe_b64encode(altered).rstrip(b"=").decode())


def test_a_cursor_of_another_list_is_refused() -> None:
    """Neither by another name nor of another shape."""
    cursor = TICKETS.encode((datetime(2026, 1, 5, tzinfo=UTC), UUID(int=7)))
    for other in (MESSAGES, NUMBERS):
        with pytest.raises(Invalid):
            other.decode(cursor)


def test_pages_follow_one_another_to_the_end() -> None:
    """Every item once, in order, and no cursor on the last page."""
    start = datetime(2026, 1, 5, tzinfo=UTC)
    rows = [(start + timedelta(seconds=index), UUID(int=index)) for index in range(7)]
    seen: list[int] = []
    cursor: str | None = None
    for _ in range(10):
        after = TICKETS.decode(cursor)
        found = [row for row in rows if after is None or row > after][: 3 + 1]
        page = TICKETS.page(found, 3, position=lambda row: row, item=lambda row: row[1].int)
        seen += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == list(range(7))


def test_an_empty_list_is_one_empty_page() -> None:
    """Nothing and no cursor."""
    rows: list[Position] = []
    page = TICKETS.page(rows, 50, position=lambda row: row, item=str)
    assert (page.items, page.next_cursor) == ([], None)


@pytest.mark.parametrize(
    ("header", "version"), [(None, None), ("*", None), ('"7"', 7), (' "0" ', 0), ('"7", W/"7"', 7)]
)
def test_if_match_names_the_version_that_is_expected(
    header: str | None, version: int | None
) -> None:
    """No header and a star expect nothing in particular."""
    assert expected_version(header) == version


@pytest.mark.parametrize("header", ["7", "", '"7', "W/7", '"7";', '"a" "b"', '"7", "8"', '"é"'])
def test_what_is_no_entity_tag_is_malformed(header: str) -> None:
    """The answer says what one looks like."""
    with pytest.raises(Malformed) as caught:
        expected_version(header)
    assert caught.value.errors[0]["field"] == "If-Match"


@pytest.mark.parametrize(
    "header", ['W/"7"', '"abc"', '""', '"007"', '"-1"', '"9999999999999999999"']
)
def test_a_tag_that_no_version_has_fails_the_precondition(header: str) -> None:
    """Strong comparison: a weak tag never matches, nor one that we never gave."""
    with pytest.raises(PreconditionFailed):
        expected_version(header)
