"""What is refused is refused in words that help, and changes nothing."""

from typing import Any

import pytest
from waybill_chassis.problems import CONTENT_TYPE

TICKET = {"type": "order", "title": "Where is it?", "description": "Not here.", "product": "demo"}
AGENT = {"email": "new@example.com", "name": "New"}
RULE = {"queue": "support"}
ZONE = {"shifts": {"time_zone": "Mars/Olympus", "hours": {}}}
GONE = {"absences": [{"from": "2026-01-05T09:00:00Z", "stand_in": "nobody@example.com"}]}
ARTICLE = {"title": "It", "summary": "Starts.", "body": "So."}
REPLY = {"name": "hey", "title": "Hey", "bodies": [{"language": "en", "text": "Hello"}]}
LONG = "x" * 200_000
TICKETS = "/v1/tickets"
THIS = "/v1/tickets/{id}"


def skill(kind: str, value: str, level: int = 3) -> dict[str, Any]:
    return {"skills": [{"kind": kind, "value": value, "level": level}]}


def without(body: dict[str, Any], name: str) -> dict[str, Any]:
    return {other: value for other, value in body.items() if other != name}


WRONG: list[tuple[str, str, Any, str, str]] = [
    ("intake", f"POST {TICKETS}", without(TICKET, "title"), "title", "is required"),
    ("intake", f"POST {TICKETS}", TICKET | {"title": " "}, "title", "at least 1 character"),
    ("intake", f"POST {TICKETS}", TICKET | {"title": 7}, "title", "must be a string"),
    ("intake", f"POST {TICKETS}", TICKET | {"title": "a\x00"}, "title", "without NUL"),
    ("intake", f"POST {TICKETS}", TICKET | {"description": LONG}, "description", "at most 20000"),
    ("intake", f"POST {TICKETS}", TICKET | {"type": "thing"}, "type", "must be one of 'technical'"),
    ("intake", f"POST {TICKETS}", TICKET | {"priority": "hot"}, "priority", "must be one of"),
    (
        "intake",
        f"POST {TICKETS}",
        TICKET | {"colour": 1},
        "colour",
        "known ones are attachment_ids",
    ),
    ("intake", f"POST {TICKETS}", TICKET | {"product": "Demo"}, "product", "must match"),
    ("intake", f"POST {TICKETS}", TICKET | {"tags": "disk"}, "tags", "must be a list"),
    ("intake", f"POST {TICKETS}", TICKET | {"tags": [""]}, "tags.0", "at least 1 character"),
    (
        "intake",
        f"POST {TICKETS}",
        TICKET | {"submitter": {"email": "kim"}},
        "submitter.email",
        "such as ana@example.com",
    ),
    (
        "intake",
        f"POST {TICKETS}",
        TICKET | {"attachment_ids": ["0198c0de-0000-7000-8000-000000000000"]},
        "attachment_ids.0",
        "you have no upload",
    ),
    ("intake", f"PATCH {THIS}", {}, "", "needs at least one of type"),
    ("intake", f"PATCH {THIS}", {"title": None}, "title", "must not be null"),
    ("intake", f"PATCH {THIS}", {"status": "closed"}, "status", "is not a known field"),
    ("intake", f"POST {THIS}/messages", {}, "body", "is required"),
    ("intake", f"POST {THIS}/messages", {"body": LONG}, "body", "at most 20000"),
    ("intake", f"POST {THIS}/messages", {"body": "x", "kind": "cry"}, "kind", "'reply' or 'note'"),
    ("intake", f"POST {THIS}/transitions", {"to": "gone"}, "to", "must be one of 'pending'"),
    ("intake", f"POST {THIS}/merge", {}, "into", "is required"),
    ("intake", f"POST {THIS}/links", {"ticket": "WB-1", "kind": "x"}, "kind", "must be"),
    ("intake", f"POST {THIS}/rating", {"score": 6}, "score", "at most 5"),
    ("intake", f"POST {THIS}/rating", {"score": "5"}, "score", "a whole number"),
    ("intake", f"GET {TICKETS}?status=open", None, "status.0", "must be one of"),
    ("intake", f"GET {TICKETS}?limit=201", None, "limit", "at most 200"),
    ("intake", f"GET {TICKETS}?cursor=abc", None, "cursor", "next_cursor of an earlier page"),
    ("routing", "POST /v1/agents", without(AGENT, "email"), "email", "is required"),
    ("routing", "POST /v1/agents", AGENT | {"email": "ana"}, "email", "must match"),
    ("routing", "POST /v1/agents", AGENT | {"capacity": "5"}, "capacity", "a whole number"),
    ("routing", "POST /v1/agents", AGENT | {"teams": ["support"] * 2}, "teams", "anything twice"),
    ("routing", "PUT /v1/agents/{id}/presence", {"presence": "gone"}, "presence", "must be one of"),
    ("routing", "PATCH /v1/agents/{id}", {"name": None}, "name", "must not be null"),
    ("routing", "POST /v1/teams", {"slug": "A b", "name": "Ab"}, "slug", "must match"),
    ("routing", "POST /v1/routing-rules", {"queue": "none"}, "queue", "must be one of"),
    ("routing", "POST /v1/routing-rules", RULE | {"type": "x"}, "type.0", "must be one of"),
    ("routing", "POST /v1/routing-rules", RULE | {"text": ["!?"]}, "text.0", "a letter or a digit"),
    ("routing", "PATCH /v1/agents/{id}", {"teams": ["none"]}, "teams", "teams that there are"),
    ("routing", "PATCH /v1/agents/{id}", skill("type", "x"), "skills.0.value", "must be one of"),
    ("routing", "PATCH /v1/agents/{id}", skill("craft", "x"), "skills.0.kind", "must be one of"),
    ("routing", "PATCH /v1/agents/{id}", skill("tag", "x", 6), "skills.0.level", "at most 5"),
    ("routing", "PATCH /v1/agents/{id}", ZONE, "shifts.time_zone", "IANA database"),
    ("routing", "PUT /v1/agents/{id}/absences", GONE, "absences.0.stand_in", "must be the address"),
    ("routing", "POST /v1/queues", {"slug": "x", "team": "none"}, "team", "a team that there is"),
    ("routing", f"PUT {THIS}/assignment", {}, "", "either agent_id or team"),
    ("routing", f"PUT {THIS}/assignment", {"agent_id": "ana"}, "agent_id", "must be a UUID"),
    ("routing", "GET /v1/queues?cursor=abc", None, "cursor", "next_cursor of an earlier page"),
    ("sla", f"POST {THIS}/escalations", {}, "level", "is required"),
    (
        "sla",
        f"POST {THIS}/escalations",
        {"level": "top"},
        "level",
        "must be one of 'senior_support'",
    ),
    (
        "sla",
        f"POST {THIS}/escalations",
        {"level": "tech_team", "comment": LONG},
        "comment",
        "at most 10000",
    ),
    (
        "sla",
        f"POST {THIS}/escalations",
        {"level": "tech_team", "teams": ["T"]},
        "teams.0",
        "must match",
    ),
    ("sla", "GET /v1/sla/at-risk?limit=x", None, "limit", "a whole number"),
    ("notify", "GET /v1/deliveries?state=lost", None, "state", "must be one of"),
    ("notify", "GET /v1/deliveries?ticket_id=WB-1", None, "ticket_id", "must be a UUID"),
    ("notify", "GET /v1/deliveries?cursor=abc", None, "cursor", "next_cursor of an earlier page"),
    ("kb", "POST /v1/articles", without(ARTICLE, "title"), "title", "is required"),
    ("kb", "POST /v1/articles", ARTICLE | {"body": LONG}, "body", "at most 100000"),
    ("kb", "POST /v1/articles", ARTICLE | {"language": "!"}, "language", "must match"),
    ("kb", "POST /v1/articles", ARTICLE | {"author": "me"}, "author", "is not a known field"),
    ("kb", "POST /v1/articles/{id}/feedback", {"helpful": "yes"}, "helpful", "true or false"),
    ("kb", "POST /v1/quick-replies", REPLY | {"bodies": []}, "bodies", "at least 1 item"),
    ("kb", "POST /v1/suggestions", {"text": ""}, "text", "at least 1 character"),
    ("kb", "GET /v1/search", None, "q", "is required"),
]


@pytest.mark.parametrize("name", ["intake", "routing", "sla", "notify", "kb"])
async def test_what_is_wrong_is_named_with_what_would_be_right(name: str, scene: Any) -> None:
    """The problem document says it, whoever reads it, and not a row is another."""
    async with scene(name) as there:
        headers = there.token("admin", "submitter", sub="kim@example.com") | {"If-Match": "*"}
        before = await there.kept()
        for service, operation, body, field, words in WRONG:
            if service != name:
                continue
            # Only submitters rate, and an administrator is more than one.
            rating = there.token("submitter", sub="kim@example.com")
            answer = await ask(there, operation, body, rating if "rating" in operation else headers)
            said = answer.json()
            assert answer.status_code == 422, f"{operation} {answer.text}"
            assert answer.headers["content-type"] == CONTENT_TYPE
            (error,) = said["errors"]
            assert error["field"] == field, f"{operation} {said}"
            assert words in error["message"], f"{operation} {said}"
            assert await there.kept() == before, operation


async def ask(there: Any, operation: str, body: Any, headers: dict[str, str]) -> Any:
    method, path = operation.split()
    url = path.replace("{id}", there.id_in(path))
    return await there.service.client.request(method, url, json=body, headers=headers)


@pytest.mark.parametrize(
    ("name", "operation", "body"),
    [
        ("intake", f"PATCH {THIS}", {"title": "Else"}),
        ("intake", f"POST {THIS}/transitions", {"to": "resolved"}),
        ("intake", f"POST {THIS}/merge", {"into": "{id}"}),
        ("routing", "PATCH /v1/agents/{id}", {"name": "Else"}),
        ("routing", "PUT /v1/agents/{id}/presence", {"presence": "available"}),
        ("routing", f"PUT {THIS}/assignment", {"team": "tech_team"}),
        ("routing", f"DELETE {THIS}/assignment", None),
        ("kb", "PATCH /v1/articles/{id}", {"title": "Else"}),
        ("kb", "POST /v1/articles/{id}/publish", None),
        ("kb", "POST /v1/articles/{id}/archive", None),
    ],
)
async def test_a_stale_version_is_refused(name: str, operation: str, body: Any, scene: Any) -> None:
    """With a 412, whatever version the caller has seen that is not the present one."""
    async with scene(name) as there:
        headers = there.token("admin", sub="ana@example.com")
        if body is not None:
            body = {k: v.replace("{id}", there.ids["ticket"]) for k, v in body.items()}
        before = await there.kept()
        for version in ('"0"', '"999"', 'W/"1"', '"abc"'):
            answer = await ask(there, operation, body, headers | {"If-Match": version})
            assert answer.status_code == 412, answer.text
            assert answer.headers["content-type"] == CONTENT_TYPE
        assert await there.kept() == before


@pytest.mark.parametrize(
    ("name", "operation", "first", "other"),
    [
        ("intake", f"POST {TICKETS}", TICKET, TICKET | {"title": "Else"}),
        ("intake", f"POST {THIS}/messages", {"body": "Hello"}, {"body": "Hello!"}),
        ("intake", f"POST {THIS}/transitions", {"to": "resolved"}, {"to": "closed"}),
        ("routing", "POST /v1/agents", AGENT, AGENT | {"email": "else@example.com"}),
        ("routing", "POST /v1/teams", {"slug": "a", "name": "A"}, {"slug": "b", "name": "B"}),
        ("sla", f"POST {THIS}/escalations", {"level": "tech_team"}, {"level": "management"}),
        ("kb", "POST /v1/articles", ARTICLE, ARTICLE | {"title": "Else"}),
        ("kb", "POST /v1/articles/{id}/feedback", {"helpful": True}, {"helpful": False}),
        ("kb", "POST /v1/quick-replies", REPLY, REPLY | {"name": "ho"}),
    ],
)
async def test_a_key_stands_for_one_body(
    name: str, operation: str, first: Any, other: Any, scene: Any
) -> None:
    """The same again gives the same answer and does nothing; another body is refused."""
    async with scene(name) as there:
        headers = there.token("admin", sub="ana@example.com") | {"Idempotency-Key": "k1"}
        done = await ask(there, operation, first, headers)
        assert done.is_success, done.text
        before = await there.kept()
        again = await ask(there, operation, first, headers)
        assert (again.status_code, again.content) == (done.status_code, done.content)
        refused = await ask(there, operation, other, headers)
        assert refused.status_code == 422, refused.text
        assert refused.json()["errors"][0]["field"] == "Idempotency-Key"
        assert await there.kept() == before


MOVES = {
    "pending": ["in_progress", "resolved", "closed"],
    "in_progress": ["awaiting_user", "resolved", "closed"],
    "awaiting_user": ["in_progress", "resolved", "closed"],
    "resolved": ["in_progress", "closed"],
    "closed": [],
}
"""What an agent may do by hand, in the order of a ticket's life."""


async def test_a_move_that_is_not_allowed_names_those_that_are(scene: Any) -> None:
    """409 from every status to every other one, and the ticket is as it was."""
    async with scene("intake") as there:
        headers = there.token("agent")
        for status, allowed in MOVES.items():
            if status != "pending":
                done = await ask(there, f"POST {THIS}/transitions", {"to": status}, headers)
                assert done.is_success, done.text
            before = await there.kept()
            for to in MOVES.keys() - set(allowed):
                answer = await ask(there, f"POST {THIS}/transitions", {"to": to}, headers)
                assert answer.status_code == 409, f"{status} -> {to}: {answer.text}"
                assert sorted(answer.json()["allowed"]) == sorted(allowed), answer.text
            assert await there.kept() == before
