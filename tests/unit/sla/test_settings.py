from datetime import timedelta

import pytest
from waybill_chassis.settings import load
from waybill_chassis.stored_settings import Snapshot
from waybill_sla import kept_settings
from waybill_sla.domain.words import FollowUp
from waybill_sla.settings import Settings


def test_the_numbers_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shares and follow-ups come from the environment, in any order."""
    monkeypatch.setenv("WAYBILL_SLA_WARN_SHARES", "0.8, 0.5")
    monkeypatch.setenv("WAYBILL_SLA_AT_RISK_SHARE", "0.8")
    monkeypatch.setenv("WAYBILL_SLA_REMINDER_1", "PT2H")
    rules = kept_settings.rules(Snapshot(defaults=load(Settings)))
    assert (rules.shares, rules.at_risk_share) == ((0.5, 0.8), 0.8)
    assert rules.follow_ups[FollowUp.REMINDER_1] == timedelta(hours=2)


@pytest.mark.parametrize("shares", ["0.5,2", "half", "0.5,0.9"])
def test_shares_that_make_no_sense_stop_the_start(
    monkeypatch: pytest.MonkeyPatch, shares: str
) -> None:
    """Neither 200 % nor words, and `at_risk` needs a warning that tells it."""
    monkeypatch.setenv("WAYBILL_SLA_WARN_SHARES", shares)
    with pytest.raises(SystemExit):
        load(Settings)
