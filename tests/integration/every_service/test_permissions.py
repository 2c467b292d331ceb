"""Who may do what: each route of each service for each kind of caller, in one table.

Of each answer a sign is kept: `+` done, `~` refused for another reason than who asks, `1` without
a token, `3` not with this role, `4` for this caller there is no such thing.
"""

from typing import Any

import pytest

CALLERS: dict[str, tuple[tuple[str, ...], str, tuple[str, ...]]] = {
    "owner": (("submitter",), "kim@example.com", ("demo",)),
    "another submitter": (("submitter",), "sam@example.com", ("demo",)),
    "agent": (("agent",), "ana@example.com", ("demo",)),
    "agent elsewhere": (("agent",), "ben@example.com", ("shop",)),
    "lead": (("lead",), "lee@example.com", ("demo",)),
    "lead elsewhere": (("lead",), "lou@example.com", ("shop",)),
    "admin": (("admin",), "root@example.com", ("*",)),
    "product": (("service",), "demo", ("demo",)),
    "another product": (("service",), "shop", ("shop",)),
    "somebody without a role": ((), "kim@example.com", ("demo",)),
}
"""The columns, behind that of nobody: roles, name and products. The ticket is of `demo`."""

TABLE = {
    "intake": """
        GET   /v1/tickets                        1+++++++++3
        GET   /v1/tickets/count                  1+++++++++3
        GET   /v1/tickets/export                 1+++++++++3
        POST  /v1/tickets/bulk                   133+++++++3
        GET   /v1/views                          133+++++333
        POST  /v1/views                          133+++++333
        GET   /v1/views/{id}                     133+4+4+333
        PATCH /v1/views/{id}                     13334+4+333
        DELETE /v1/views/{id}                    13334+44333
        GET   /v1/tickets/{id}                   1+4+4+4++44
        GET   /v1/tickets/{id}/messages          1+4+4+4++43
        GET   /v1/tickets/{id}/log               133+4+4+333
        POST  /v1/tickets                        1+++3+3++33
        PATCH /v1/tickets/{id}                   134+4+4++44
        POST  /v1/tickets/{id}/messages          1+4+4+4++43
        POST  /v1/tickets/{id}/messages note     133+4+4+333
        POST  /v1/tickets/{id}/messages/preview  133+4+4+333
        PATCH /v1/tickets/{id}/messages/{message_id} 1333434+333
        GET   /v1/tickets/{id}/messages/{message_id}/history 133+4+4+333
        POST  /v1/tickets/{id}/links             133~4~4~~43
        DELETE /v1/tickets/{id}/links/{ticket}   133+4+4++43
        POST  /v1/tickets/{id}/merge             133~4~4~333
        DELETE /v1/tickets/{id}/merge            133~4~4~333
        DELETE /v1/tickets/{id}/suspected-duplicates/{ticket} 133+4+4+333
        GET   /v1/playbooks                      133+++++333
        GET   /v1/playbooks/{product}/{type}     133+4+4+333
        PUT   /v1/playbooks/{product}/{type}     1333333+333
        DELETE /v1/playbooks/{product}/{type}    1333333+333
        GET   /v1/tickets/{id}/checklist         133+4+4+333
        PUT   /v1/tickets/{id}/checklist/{point} 133+4+4+333
        GET   /v1/tickets/{id}/watchers          133+4+4+333
        PUT   /v1/tickets/{id}/watchers/{who}    133+4+4+333
        DELETE /v1/tickets/{id}/watchers/{who}   133+4+4+333
        GET   /v1/me                             1++++++++++
        GET   /v1/submitters                     133+++++333
        GET   /v1/submitters/{id}                133+4+4+333
        PATCH /v1/submitters/{id}                133+4+4+333
        GET   /v1/submitters/{id}/tickets        133+4+4+333
        POST  /v1/tickets/{id}/transitions       1+4~4~4~~44
        POST  /v1/tickets/{id}/rating            1~433333333
        POST  /v1/attachments                    1+++++++++3
        GET   /v1/attachments/{id}               1+4+4+4++44
        POST  /v1/attachments/{id}/link          1+4+4+4++44
        GET   /v1/intake/settings                133+++++333
        PUT   /v1/intake/settings                1333333+333
        GET   /v1/intake/settings/{product}      133+4+4++43
        PUT   /v1/intake/settings/{product}      1333333++43
        GET   /v1/stats/volume                   133+++++333
        GET   /v1/stats/efficiency               133+++++333
        GET   /v1/stats/agents                   133+++++333
        GET   /v1/stats/issues                   133+++++333
        GET   /v1/stats/diagnosis                133+++++333
        POST  /v1/stats/rebuild                  1333333+333
        GET   /r/{token}                         44444444444
        POST  /r/{token}                         44444444444
        POST  /v1/submitters/{id}/erasure        1333333+333
    """,
    "routing": """
        GET    /v1/agents                        133+++++333
        GET    /v1/agents/{id}                   133+++++333
        POST   /v1/agents                        1333333+333
        PATCH  /v1/agents/{id}                   1333333+333
        PUT    /v1/agents/{id}/presence          133+3+++333
        PUT    /v1/agents/{id}/absences          133+3+++333
        POST   /v1/agents/{id}/next              133+3+++333
        GET    /v1/teams                         133+++++333
        POST   /v1/teams                         1333333+333
        GET    /v1/teams/{team}                  133+++++333
        PATCH  /v1/teams/{team}                  1333333+333
        GET    /v1/queues                        133+++++333
        POST   /v1/queues                        1333333+333
        GET    /v1/queues/{queue}                133+++++333
        PATCH  /v1/queues/{queue}                1333333+333
        GET    /v1/routing-rules                 1333333+333
        POST   /v1/routing-rules                 1333333+333
        PUT    /v1/routing-rules                 1333333+333
        POST   /v1/routing-rules/test            1333333+333
        GET    /v1/routing-rules/{rule}          1333333+333
        PATCH  /v1/routing-rules/{rule}          1333333+333
        PUT    /v1/routing-rules/{rule}          1333333+333
        DELETE /v1/routing-rules/{rule}          1333333+333
        DELETE /v1/queues/{queue}                1333333+333
        DELETE /v1/teams/{team}                  1333333+333
        POST   /v1/routing/staffing              1333333+333
        GET    /v1/routing/settings              133+++++333
        PUT    /v1/routing/settings              1333333+333
        GET    /v1/tickets/{id}/assignment       133+4+4++43
        POST   /v1/tickets/{id}/assignment/claim 133+4333333
        PUT    /v1/tickets/{id}/assignment       133+4+4+333
        DELETE /v1/tickets/{id}/assignment       133+4~4~333
        DELETE /v1/agents/{id}                   1333333+333
    """,
    "sla": """
        GET  /v1/sla/at-risk                     133+++++++3
        GET  /v1/sla/report                      133+++++++3
        GET  /v1/sla/report/breaches             133+++++++3
        POST /v1/sla/report/rebuild              1333333+333
        GET  /v1/sla/policies                    133+++++++3
        POST /v1/sla/policies                    1333333+333
        GET  /v1/sla/policies/{policy}           133+++++++3
        PUT  /v1/sla/policies/{policy}           1333333+333
        DELETE /v1/sla/policies/{policy}         1333333~333
        GET  /v1/sla/ladders                     133+++++++3
        POST /v1/sla/ladders                     1333333+333
        GET  /v1/sla/ladders/{ladder}            133+++++++3
        PUT  /v1/sla/ladders/{ladder}            1333333+333
        DELETE /v1/sla/ladders/{ladder}          1333333~333
        GET  /v1/sla/settings                    133+++++333
        PUT  /v1/sla/settings                    1333333+333
        GET  /v1/sla/settings/{product}          133+4+4++43
        PUT  /v1/sla/settings/{product}          1333333++43
        GET  /v1/sla/calendars                   133+++++++3
        POST /v1/sla/calendars                   1333333+333
        GET  /v1/sla/calendars/{calendar}        133+++++++3
        GET  /v1/sla/calendars/{calendar}/preview 133~~~~~~~3
        PUT  /v1/sla/calendars/{calendar}        1333333+333
        DELETE /v1/sla/calendars/{calendar}      1333333+333
        GET  /v1/sla/redating                    133+++++++3
        POST /v1/sla/agreements                  1333333+333
        POST /v1/sla/simulations                 1333333+333
        GET  /v1/sla/simulations                 1333333+333
        GET  /v1/sla/simulations/{simulation}    13333334333
        GET  /v1/tickets/{id}/sla                1+4+4+4++44
        POST /v1/tickets/{id}/escalations        133+4~4~~43
    """,
    "notify": """
        GET  /v1/deliveries                      133+++++333
        GET  /v1/deliveries/{id}                 133+4+4+333
        GET  /v1/templates                       133+++++333
        POST /v1/deliveries/{id}/retry           133~4~4~333
    """,
    "kb": """
        GET   /v1/articles                       +++++++++++
        GET   /v1/articles/{id}                  +++++++++++
        GET   /v1/articles/{id} draft            444+4+4+444
        POST  /v1/articles                       133+3+3+333
        PATCH /v1/articles/{id}                  133+4+4+333
        PATCH /v1/articles/{id} draft            133+4+4+333
        POST  /v1/articles/{id}/feedback         1++++++++++
        POST  /v1/articles/{id}/feedback draft   144+4+4+444
        POST  /v1/articles/{id}/publish          13333+3+333
        POST  /v1/articles/{id}/archive          13333+4+333
        GET   /v1/quick-replies                  133+++++333
        GET   /v1/quick-replies/{id}             133+4+4+333
        POST  /v1/quick-replies                  13333+3~333
        GET   /v1/search                         +++++++++++
        POST  /v1/suggestions                    1++++++++++
        GET   /v1/tickets/{id}/similar           133+4+4+333
    """,
}
"""A third word says what is special about it. They are tried in this order."""

SIGNS = {401: "1", 403: "3", 404: "4"}
TICKET = {"type": "order", "title": "Where", "description": "is it?", "product": "demo"}
ARTICLE = {"title": "It", "summary": "Starts.", "body": "So.", "products": ["demo"]}
AGENT = {"email": "new@example.com", "name": "New"}
CALENDAR = {
    "time_zone": "Asia/Tokyo",
    "hours": {"monday": [{"from": "09:00", "to": "17:00"}]},
}
TARGETS = {
    priority: {"response": "PT1H", "resolution": "P1D"}
    for priority in ("urgent", "high", "medium", "low")
}
BODIES: dict[str, Any] = {
    "POST /v1/tickets": TICKET,
    "POST /v1/tickets/bulk": {"tickets": ["WB-1001"], "set": {"language": "de"}},
    "POST /v1/views": {"name": "Mine", "filter": {"assignee": "me"}},
    "PATCH /v1/views/{id}": {"name": "Else"},
    "PATCH /v1/tickets/{id}": {"title": "Else"},
    "POST /v1/tickets/{id}/messages": {"body": "Hello"},
    "POST /v1/tickets/{id}/messages note": {"body": "Hello", "kind": "note"},
    "POST /v1/tickets/{id}/messages/preview": {"body": "Hello"},
    "PATCH /v1/tickets/{id}/messages/{message_id}": {"body": "Else"},
    "POST /v1/tickets/{id}/transitions": {"to": "resolved"},
    "POST /v1/tickets/{id}/merge": {"into": "{id}"},
    "POST /v1/tickets/{id}/links": {"ticket": "{id}"},
    "PUT /v1/playbooks/{product}/{type}": {"points": [{"id": "thanked", "title": "Thanked"}]},
    "PUT /v1/tickets/{id}/checklist/{point}": {"state": "done"},
    "POST /v1/sla/policies": {"name": "new", "selector": {"tag": "new"}, "targets": TARGETS},
    "PUT /v1/sla/policies/{policy}": {"targets": TARGETS},
    "POST /v1/sla/ladders": {"name": "new", "rungs": []},
    "POST /v1/sla/agreements": {"ladders": [{"name": "new", "rungs": []}]},
    "POST /v1/sla/simulations": {"ladders": [{"name": "new", "rungs": []}]},
    "PUT /v1/sla/ladders/{ladder}": {"rungs": []},
    "PUT /v1/sla/settings": {"reminder_1": "PT12H"},
    "PUT /v1/sla/settings/{product}": {"follow_ups": {"reminder_1": "PT12H"}},
    "PUT /v1/intake/settings": {"triage_threshold": 0.9},
    "PUT /v1/intake/settings/{product}": {"order_link": "https://shop.example/{ref}"},
    "POST /v1/tickets/{id}/rating": {"score": 5},
    "PATCH /v1/submitters/{id}": {"name": "Kim"},
    "POST /v1/tickets/{id}/escalations": {"level": "tech_team"},
    "POST /v1/sla/calendars": CALENDAR | {"name": "office"},
    "PUT /v1/sla/calendars/{calendar}": CALENDAR | {"time_zone": "UTC"},
    "PUT /v1/tickets/{id}/assignment": {"team": "support"},
    "POST /v1/agents": AGENT,
    "PATCH /v1/agents/{id}": {"name": "Ana"},
    "PUT /v1/agents/{id}/presence": {"presence": "offline"},
    "POST /v1/teams": {"slug": "new", "name": "New"},
    "PUT /v1/agents/{id}/absences": {"absences": []},
    "PATCH /v1/teams/{team}": {"name": "Else"},
    "POST /v1/queues": {"slug": "line", "team": "new"},
    "PATCH /v1/queues/{queue}": {"team": "new"},
    "POST /v1/routing-rules": {"name": "theirs", "queue": "line", "product": "demo"},
    "PUT /v1/routing-rules": {"order": ["theirs"]},
    "POST /v1/routing-rules/test": {},
    "PATCH /v1/routing-rules/{rule}": {"enabled": False},
    "PUT /v1/routing-rules/{rule}": {"queue": "line"},
    "POST /v1/routing/staffing": {"queues": [{"slug": "more", "team": "support"}]},
    "PUT /v1/routing/settings": {"weights": {"urgent": 2}},
    "POST /v1/articles": ARTICLE,
    "PATCH /v1/articles/{id}": {"summary": "Else."},
    "PATCH /v1/articles/{id} draft": {"summary": "Else."},
    "POST /v1/articles/{id}/feedback": {"helpful": True},
    "POST /v1/articles/{id}/feedback draft": {"helpful": True},
    "POST /v1/quick-replies": {
        "name": "new", "title": "New", "products": ["demo"],
        "bodies": [{"language": "en", "text": "Hello"}],
    },
    "POST /v1/suggestions": {"text": "It"},
}  # fmt: skip

IN_PATHS = {
    "{policy}": "default",
    "{team}": "new",
    "{queue}": "line",
    "{rule}": "theirs",
    "{ladder}": "default",
    "{who}": "zoe@example.com",
    "{product}": "demo",
    "{calendar}": "office",
    "{simulation}": "01900000-0000-7000-8000-000000000001",
    "{type}": "suggestion",
    "{point}": "solution-given",
}
"""What else than an id stands in paths."""


FILES = {"POST /v1/attachments": {"file": ("it.txt", b"Hello")}}


async def ways(there: Any) -> set[str]:
    """The service's operations."""
    paths = (await there.ask("GET", "/openapi.json"))["paths"]
    return {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}


async def sign(there: Any, operation: str, headers: dict[str, str]) -> str:
    """How one caller is answered. A third word of the operation says what is special about it."""
    method, path, *special = operation.split()
    for part, value in IN_PATHS.items():
        path = path.replace(part, value)
    id = there.ids["draft"] if special == ["draft"] else there.id_in(path)
    body = BODIES.get(operation)
    if body is not None:
        body = {k: v.replace("{id}", id) if isinstance(v, str) else v for k, v in body.items()}
    answer = await there.service.client.request(
        method,
        path.replace("{id}", id)
        .replace("{ticket}", id)
        .replace("{message_id}", there.ids.get("note", "")),
        headers=headers | {"If-Match": "*"},
        json=body,
        files=FILES.get(operation),
        params={"q": "it"} if path == "/v1/search" else None,
    )
    assert answer.status_code < 500, answer.text
    return "+" if answer.is_success else SIGNS.get(answer.status_code, "~")


@pytest.mark.parametrize("name", TABLE)
async def test_everybody_may_do_what_the_table_says(name: str, scene: Any) -> None:
    """And the table speaks of every route there is."""
    table = dict(line.rsplit(maxsplit=1) for line in TABLE[name].strip().splitlines())
    table = {" ".join(operation.split()): signs for operation, signs in table.items()}
    async with scene(name) as there:
        assert {" ".join(operation.split()[:2]) for operation in table} == await ways(there)
        found = {}
        for operation in table:
            found[operation] = await sign(there, operation, {})
            for roles, sub, products in CALLERS.values():
                token = there.token(*roles, sub=sub, products=products)
                found[operation] += await sign(there, operation, token)
        assert found == table


@pytest.mark.parametrize(
    ("name", "path"),
    [("intake", "/v1/tickets"), ("notify", "/v1/deliveries"), ("kb", "/v1/articles")],
)
async def test_a_list_shows_nobody_what_they_may_not_read(name: str, path: str, scene: Any) -> None:
    """What stands in a list can be read one by one, and who works on the product finds it there."""
    async with scene(name) as there:
        ids = {id for kind, id in there.ids.items() if path.endswith(f"{kind}s") or kind == "draft"}
        for who, (roles, sub, products) in CALLERS.items():
            headers = there.token(*roles, sub=sub, products=products)
            answer = await there.service.client.get(path, headers=headers)
            listed = {item["id"] for item in answer.json().get("items", ())}
            readable = set()
            for id in ids:
                if (await there.service.client.get(f"{path}/{id}", headers=headers)).is_success:
                    readable.add(id)
            assert listed <= readable, who
            if who in ("agent", "lead", "admin"):
                assert listed == ids, who
