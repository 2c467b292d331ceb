"""What can be changed while sla runs, and from when on it counts."""

from datetime import timedelta
from typing import Any

HOUR = timedelta(hours=1)


async def put(sla: Any, path: str, body: Any, version: int = 0) -> Any:
    headers = sla.mint.headers("admin", products=("*",)) | {"If-Match": f'"{version}"'}
    return await sla.client.put(path, json=body, headers=headers)


async def test_what_is_set_counts_from_the_next_batch_on(sla: Any) -> None:
    """Shares of warnings, and after how long a user is reminded; a product's own before all."""
    answer = await put(
        sla,
        "/v1/sla/settings",
        {"warn_shares": [0.6], "at_risk_share": 0.6, "reminder_1": "PT5H"},
    )
    assert answer.status_code == 200, answer.text
    own = {"follow_ups": {"reminder_2": "PT9H"}}
    assert (await put(sla, "/v1/sla/settings/demo", own)).status_code == 200
    start = sla.clock.now()
    story = sla.ticket("high")
    await sla.hear(story.opened())
    warnings = [row for row in await sla.timer_rows(story) if row.kind == "warning"]
    # The default ladder has a rung at 0.9 of the resolution, which no setting takes away.
    assert sorted((row.name, row.share) for row in warnings) == [
        ("resolution", 0.6),
        ("resolution", 0.9),
        ("response", 0.6),
    ]
    await sla.hear(story.moved("awaiting_user", start + HOUR))
    reminders = {row.kind: row.due_at for row in await sla.timer_rows(story)}
    assert reminders == {
        "reminder_1": start + 6 * HOUR,
        "reminder_2": start + 10 * HOUR,
        "auto_close_awaiting": start + HOUR + timedelta(days=7),
    }


async def test_a_timer_of_an_older_setting_makes_room_for_the_newer(sla: Any) -> None:
    """What was armed before goes away when it comes due, and what is wanted now is armed."""
    start = sla.clock.now()
    story = sla.ticket("high")
    await sla.hear(story.opened(), story.moved("awaiting_user", start))
    assert (await put(sla, "/v1/sla/settings", {"reminder_1": "PT30H"})).status_code == 200
    seen = len(await sla.names(story))
    await sla.pass_time(hours=25)
    assert await sla.names(story, seen) == []
    await sla.pass_time(hours=6)
    assert await sla.names(story, seen) == ["FollowUpDue"]


async def test_settings_that_make_no_sense_are_refused_by_name(sla: Any) -> None:
    """And nothing is changed."""
    for body, field in (
        ({"warn_shares": [0.5, 2]}, "warn_shares"),
        ({"warn_shares": []}, "warn_shares"),
        ({"warn_shares": [0.5]}, "at_risk_share"),
        ({"warn_shares": [0.5], "at_risk_share": 0.75}, "at_risk_share"),
        ({"reminder_1": "-PT1H"}, "reminder_1"),
        ({"reminder_1": "P40000D"}, "reminder_1"),
        ({"reminder_3": "PT1H"}, "reminder_3"),
    ):
        answer = await put(sla, "/v1/sla/settings", body)
        assert answer.status_code == 422, (body, answer.text)
        assert [error["field"] for error in answer.json()["errors"]] == [field]
    answer = await put(sla, "/v1/sla/settings/demo", {"follow_ups": {"reminder_1": "soon"}})
    assert [error["field"] for error in answer.json()["errors"]] == ["follow_ups.reminder_1"]
    read = await sla.client.get("/v1/sla/settings", headers=sla.mint.headers("agent"))
    assert (read.json()["version"], read.json()["given"]) == (0, {})
