"""Settings that cannot work stop the start and say what would be right."""

from typing import Any

import pytest
from waybill_chassis.settings import load
from waybill_notify.settings import Settings


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("WAYBILL_NOTIFY_FEED_PRODUCTS", "demo,No Topic", "No Topic"),
        ("WAYBILL_NOTIFY_MAIL_FROM", "nobody", "support@example.com"),
        ("WAYBILL_NOTIFY_LEASE_SECONDS", "30", "more than 40"),
        ("WAYBILL_SMTP_TLS", "maybe", "starttls"),
    ],
)
def test_a_wrong_setting_is_named_with_what_would_be_right(
    monkeypatch: pytest.MonkeyPatch, capsys: Any, name: str, value: str, said: str
) -> None:
    """Exit code 2 and one line."""
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        load(Settings)
    assert ended.value.code == 2
    line = capsys.readouterr().err
    assert name.removeprefix("WAYBILL_").removeprefix("NOTIFY_") in line
    assert said in line


def test_the_stack_s_own_variables_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `waybill up` tells every service about mail."""
    monkeypatch.setenv("WAYBILL_SMTP_HOST", "mail.internal")
    monkeypatch.setenv("WAYBILL_SMTP_PORT", "2525")
    monkeypatch.setenv("WAYBILL_NOTIFY_FEED_PRODUCTS", "shop, wiki")
    settings = load(Settings)
    assert (settings.smtp_host, settings.smtp_port) == ("mail.internal", 2525)
    assert settings.feed_products == {"shop", "wiki"}
    assert settings.mail_domain == "example.com"
