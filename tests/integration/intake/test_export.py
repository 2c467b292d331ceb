"""What exports promise."""

import csv
import io
import json
from typing import Any

import pytest
from waybill_intake.http import export

KIM: dict[str, Any] = {"role": "submitter", "sub": "kim@example.com"}


@pytest.fixture(autouse=True)
def batches_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few tickets take several."""
    monkeypatch.setattr(export, "_AT_ONCE", 2)


async def lines(intake: Any, query: str, **who: Any) -> list[str]:
    who = {"role": "agent"} | who
    answer = await intake.tested.client.get(
        f"/v1/tickets/export?{query}", headers=intake.token(**who)
    )
    assert answer.status_code == 200, answer.text
    assert "attachment" in answer.headers["content-disposition"]
    return list(answer.text.splitlines())


async def test_an_export_has_every_ticket_of_the_list_once(intake: Any) -> None:
    """As NDJSON each as the list shows it, the oldest first; as CSV a line each below the names."""
    for number in range(5):
        await intake.open(title=f"t{number}", tags=["x"], product="shop" if number else "bank")
    found = [json.loads(line) for line in await lines(intake, "format=ndjson&tag=x")]
    page = await intake.ask("GET", "/v1/tickets?tag=x&order=asc")
    assert found == page["items"]
    assert len(await lines(intake, "format=ndjson&product=shop")) == 4
    assert await lines(intake, "format=ndjson&tag=y") == []
    head, *rows = csv.reader(await lines(intake, "format=csv&tag=x"))
    assert [row[head.index("number")] for row in rows] == [one["number"] for one in found]
    assert set(page["items"][0]) - set(head) == {
        "submitter", "sla", "links", "order_links", "attachments", "attachment_ids", "watchers",
        "suspected_duplicates", "erased_at", "version",
    }  # fmt: skip
    view = await intake.ask(
        "POST", "/v1/views", {"name": "x", "filter": {"product": "bank"}}, status=201
    )
    assert len(await lines(intake, f"format=ndjson&view={view['id']}")) == 1


async def test_no_cell_of_a_table_is_a_formula(intake: Any) -> None:
    """What a submitter wrote is text, whatever it begins with, and keeps its lines and quotes."""
    evil = '=HYPERLINK("http://x";"y")\nand more'
    await intake.open(title="@SUM(A1)", description=evil, tags=["-1+1", "b"])
    answer = await intake.tested.client.get("/v1/tickets/export", headers=intake.token())
    (row,) = csv.DictReader(io.StringIO(answer.text, newline=""))
    assert (row["title"], row["tags"]) == ("'@SUM(A1)", "'-1+1, b")
    assert row["description"] == f"'{evil}"
    assert row["created_at"].endswith("Z")
    assert row["resolved_at"] == ""


async def test_an_export_shows_nobody_more_than_the_list(intake: Any) -> None:
    """Submitters their own, agents those of their products; a wrong question begins none."""
    await intake.open(title="a")
    await intake.open(title="b", product="bank", submitter={"email": "lee@b.c"})
    for who, expected in ((KIM, "a"), ({"products": ("bank",)}, "b"), ({"products": ()}, "")):
        found = [json.loads(line)["title"] for line in await lines(intake, "format=ndjson", **who)]
        assert "".join(found) == expected
    await intake.ask("GET", "/v1/tickets/export?format=xlsx", status=422)
    wrong = await intake.ask("GET", "/v1/tickets/export?colour=red", status=422)
    assert "the known ones are assignee, channel, " in wrong["errors"][0]["message"]
    await intake.ask("GET", "/v1/tickets/export?assignee=me", status=403, **KIM)
