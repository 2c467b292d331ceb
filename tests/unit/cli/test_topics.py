"""deploy/topics.yaml, which the local stack, compose and the chart all read."""

import pytest
from waybill_chassis.events import (
    dead_letters_topic,
    events_topic,
    feed_topic,
    requests_topic,
)
from waybill_cli import topics
from waybill_cli.errors import StackError
from waybill_cli.local.settings import SERVICES

DAY = 24 * 3600 * 1000


def test_every_topic_that_the_code_names_is_declared() -> None:
    names = {topic.name for topic in topics.declared().all()}
    assert names == {
        *(events_topic(service) for service in SERVICES),
        *(dead_letters_topic(service) for service in SERVICES),
        requests_topic("demo"),
        feed_topic("demo"),
    }


def test_no_topic_keeps_personal_data_longer_than_seven_days() -> None:
    for topic in topics.declared().all():
        assert int(topic.config["retention.ms"]) + int(topic.config["segment.ms"]) <= 7 * DAY


def test_another_product_gets_topics_like_the_first() -> None:
    declared = topics.declared()
    assert {t.name for t in declared.for_product("shop-2")} == {
        requests_topic("shop-2"),
        feed_topic("shop-2"),
    }
    for wrong in ("", "Shop", "a.b", "-a", "a" * 64):
        with pytest.raises(StackError, match="lower-case"):
            declared.for_product(wrong)


def test_a_broken_file_is_named(tmp_path) -> None:
    broken = tmp_path / "topics.yaml"
    broken.write_text("topics: 3")
    with pytest.raises(StackError, match=r"topics\.yaml is not a list of topics"):
        topics.declared(broken)
