"""Links that act for a submitter."""

from datetime import UTC, datetime

import pytest
from waybill_chassis.ids import new_id
from waybill_intake.domain.words import ActionKind
from waybill_intake.links import ActionLink, Signer

LINK = ActionLink(ActionKind.RATE, new_id(), datetime(2026, 2, 1, tzinfo=UTC))


def test_a_token_says_what_was_signed() -> None:
    """Ticket, act and end come back."""
    assert Signer(b"k").read(Signer(b"k").sign(LINK)) == LINK


@pytest.mark.parametrize("position", range(0, 56, 5))
def test_a_token_that_was_altered_or_made_by_others_is_none(position: int) -> None:
    """No bit of it can be changed."""
    signer = Signer(b"k")
    token = signer.sign(LINK)
    other = "A" if token[position] != "A" else "B"
    assert signer.read(token[:position] + other + token[position + 1 :]) is None
    assert signer.read(token[:position]) is None
    assert Signer(b"other").read(token) is None
    assert signer.read("ü" * 56) is None
