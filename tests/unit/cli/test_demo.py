"""What the demonstration sends and how it counts."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from waybill_cli.demo import questions, report
from waybill_cli.demo.plan import plan
from waybill_cli.demo.run import Outcome
from waybill_cli.errors import StackError

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def test_our_own_questions_are_a_few_dozen_each_of_a_known_type() -> None:
    own = questions.load(None)
    assert 36 <= len(own) <= 60
    assert {question.category for question in own} == set(questions.TYPES)
    assert len({question.text for question in own}) == len(own)


def test_a_file_needs_no_particular_columns_but_rows(tmp_path: Path) -> None:
    path = tmp_path / "questions.csv"
    path.write_text('intent,text\ncard,"Where is\nmy card?"\n,\nx,Why?\n')
    assert [q.text for q in questions.load(path)] == ["Where is\nmy card?", "Why?"]
    assert questions.load(path)[0].title == "Where is"
    path.write_text("question\nWhy?\n")
    assert [q.text for q in questions.load(path)] == ["Why?"]
    path.write_text("text,category\n")
    with pytest.raises(StackError, match="holds no questions"):
        questions.load(path)
    with pytest.raises(StackError, match="cannot be read"):
        questions.load(tmp_path / "none.csv")


def test_tickets_go_through_both_doors_each_from_its_own_submitter() -> None:
    tickets = plan(questions.take(questions.load(None), 100), rate=20, patience=60).tickets
    assert [ticket.door for ticket in tickets[:4]] == ["REST", "Kafka", "REST", "Kafka"]
    assert len({ticket.email for ticket in tickets}) == 100


def test_what_is_missing_is_named_by_number(capsys: pytest.CaptureFixture[str]) -> None:
    wanted = plan(questions.take(questions.load(None), 3), rate=20, patience=60)
    for ticket in wanted.tickets[:2]:
        ticket.sent_at, ticket.number = NOW, f"WB-{ticket.place}"
        ticket.assigned = ticket.clock = True
    wanted.tickets[0].receipt_at = NOW + timedelta(seconds=2)
    wanted.tickets[2].error = "422 title: is required"
    outcome = Outcome(wanted, 9.0, 1.0, "nothing moved for 60 s")
    assert not outcome.complete
    report.print_outcome(outcome)
    out = capsys.readouterr().out
    assert "missing, accepted: #3 (REST)" in out
    assert "missing, receipts delivered: WB-2, #3 (REST)" in out
    assert "refused: #3 (REST): 422 title: is required" in out
    assert "2.00 s" in out
    assert "nothing is missing" not in out
