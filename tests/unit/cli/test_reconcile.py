"""What a comparison means for the exit code, and what is said of it."""

import pytest
from waybill.common.v1.reconcile_pb2 import Difference, ReconcileReport
from waybill_cli import reconcile
from waybill_cli.local.settings import read
from waybill_cli.reconcile import Found


@pytest.mark.parametrize(
    ("report", "clean"),
    [
        (ReconcileReport(checked=5), True),
        (ReconcileReport(checked=5, differing=2, repaired=2), True),
        (ReconcileReport(checked=5, differing=2, repaired=1), False),
        (ReconcileReport(checked=5, unreachable=["sla"]), False),
        (None, False),
    ],
)
def test_only_what_was_compared_and_agrees_is_clean(
    report: ReconcileReport | None, clean: bool
) -> None:
    assert Found("kb", report).clean is clean


def test_a_service_that_is_away_is_named_with_its_address() -> None:
    stack = read({"WAYBILL_KB_GRPC": "127.0.0.1:1"})
    found = reconcile.ask(stack, "kb", "token", repair=False, timeout=5)
    assert found.report is None
    assert found.said == "nobody answers at 127.0.0.1:1"


def test_differences_are_shown_with_both_sides(capsys: pytest.CaptureFixture[str]) -> None:
    difference = Difference(owner="routing", subject="t-1", field="assignee", owned="ana")
    report = ReconcileReport(checked=1, differing=1, differences=[difference])
    reconcile.print_found([Found("intake", report), Found("kb", None, "nobody answers")])
    out = capsys.readouterr().out
    assert "routing.assignee" in out
    assert "nothing, owned: ana" in out
    assert "itself: nobody answers" in out
