"""Rules: which queue a ticket goes to."""

from collections.abc import Collection
from dataclasses import replace
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response
from waybill_chassis.database import UnitOfWork
from waybill_chassis.http import (
    Cursor,
    CursorParam,
    DryRun,
    ExpectedVersion,
    Limit,
    RequiredVersion,
    RunOnce,
    require,
    respond,
)
from waybill_chassis.ids import new_id
from waybill_chassis.problems import invalid_field
from waybill_chassis.service import Runtime

from waybill_routing import usecases
from waybill_routing.domain import Rule, is_default, review
from waybill_routing.http.agents import Admin
from waybill_routing.http.rule_bodies import (
    NewRule,
    Order,
    RemarkAnswer,
    RuleAnswer,
    RuleBody,
    RuleChange,
    RulesPage,
    RuleWithRemarks,
    TakenAnswer,
    Trial,
    TrialAnswer,
    TriedAnswer,
)
from waybill_routing.lookup import with_texts
from waybill_routing.settings import Settings
from waybill_routing.store import rules as store
from waybill_routing.store import ways
from waybill_routing.usecases import ruling

_PATH = "/v1/routing-rules"
_ONE = _PATH + "/{rule}"
_RULES = Cursor[tuple[int, UUID]]("rules", tuple[int, UUID])


def router(rt: Runtime[Settings]) -> APIRouter:
    """The routes below `/v1/routing-rules`; a rule is named by its name or id."""
    routes = APIRouter(tags=["rules"])
    _add_list(routes, rt)
    _add_single(routes, rt)
    return routes


def _add_list(routes: APIRouter, rt: Runtime[Settings]) -> None:
    @routes.get(_PATH, response_model=RulesPage, dependencies=[require("admin")])
    async def several(limit: Limit = 50, cursor: CursorParam = None) -> Response:
        """Rules in the order they are asked, the default one last, and what is odd about them."""
        after = _RULES.decode(cursor)
        async with rt.database.unit_of_work() as uow:
            version = await ruling.version(uow)
            rules = await store.everything(uow.connection)
        rows = [rule for rule in rules if after is None or _place(rule) > after][: limit + 1]
        page = _RULES.page(rows, limit, position=_place, item=RuleAnswer.model_validate)
        return respond(
            RulesPage(
                items=page.items,
                next_cursor=page.next_cursor,
                remarks=RemarkAnswer.all_of(review(rules)),
            ),
            version=version,
        )

    @routes.post(_PATH, status_code=201, response_model=RuleWithRemarks)
    async def add(body: NewRule, caller: Admin, once: RunOnce, dry_run: DryRun = False) -> Response:
        """Add a rule; it counts for tickets that are placed from now on."""

        async def effect(uow: UnitOfWork) -> Response:
            rule = await usecases.add_rule(uow, body.rule(new_id()), caller.known_as)
            return await _shown(uow, rule, status=201, location=f"{_PATH}/{rule.name}")

        return await once(effect, keep=not dry_run)

    @routes.put(_PATH, response_model=RulesPage)
    async def order(
        body: Order, caller: Admin, expected: RequiredVersion, dry_run: DryRun = False
    ) -> Response:
        """Put the rules into this order; the version is that of the list."""
        async with rt.database.unit_of_work(keep=not dry_run) as uow:
            rules = await usecases.order_rules(uow, body.order, caller.known_as, expected=expected)
            version = await ruling.version(uow)
        return respond(
            RulesPage(
                items=[RuleAnswer.model_validate(rule) for rule in rules],
                next_cursor=None,
                remarks=RemarkAnswer.all_of(review(rules)),
            ),
            version=version,
        )

    @routes.post(_PATH + "/test", response_model=TrialAnswer)
    async def test(body: Trial, caller: Admin) -> Response:
        """Which rule takes which of the last tickets, as the rules are and with those tried.

        Tickets are looked at as they are now. Their text is asked of intake; nothing is changed.
        """
        async with rt.database.reading() as connection:
            queues, now = await ways.ways(connection)
            tickets = await store.last_tickets(
                connection,
                product=body.product,
                products=caller.readable_products,
                limit=body.last,
            )
        then = _with(now, body.rules, queues)
        if any(rule.text for rule in (*now, *then)):
            tickets = await with_texts(rt, tickets)
        tried = ruling.try_rules(now, then, tickets)
        takes = ruling.counted(tried)
        return respond(
            TrialAnswer(
                tickets=[_tried(one) for one in tried],
                rules=[
                    TakenAnswer(name=rule.name, queue=rule.queue, takes=takes[rule.name])
                    for rule in then
                ],
                changed=sum(one.now.queue != one.then.queue for one in tried),
                text_unknown=sum(one.text_unknown for one in tried),
                remarks=RemarkAnswer.all_of(review(then)),
            )
        )


def _add_single(routes: APIRouter, rt: Runtime[Settings]) -> None:
    @routes.get(_ONE, response_model=RuleWithRemarks, dependencies=[require("admin")])
    async def one(rule: str) -> Response:
        """A rule, with the version to send as `If-Match`."""
        async with rt.database.unit_of_work() as uow:
            found = ruling.found(await store.everything(uow.connection), rule)
            return await _shown(uow, found)

    @routes.patch(_ONE, response_model=RuleWithRemarks)
    async def edit(
        rule: str,
        body: RuleChange,
        caller: Admin,
        expected: ExpectedVersion,
        dry_run: DryRun = False,
    ) -> Response:
        """Change what a rule asks and where it leads; of the default one only the latter."""
        async with rt.database.unit_of_work(keep=not dry_run) as uow:
            now = await usecases.change_rule(
                uow, rule, body.changes(), caller.known_as, expected=expected
            )
            return await _shown(uow, now)

    @routes.put(_ONE, response_model=RuleWithRemarks)
    async def replace_rule(
        rule: str,
        body: RuleBody,
        caller: Admin,
        expected: RequiredVersion,
        dry_run: DryRun = False,
    ) -> Response:
        """Say anew all that a rule asks and where it leads."""
        async with rt.database.unit_of_work(keep=not dry_run) as uow:
            now = await usecases.change_rule(
                uow, rule, body.changes(), caller.known_as, expected=expected
            )
            return await _shown(uow, now)

    @routes.delete(_ONE, status_code=204)
    async def remove(
        rule: str, caller: Admin, expected: RequiredVersion, dry_run: DryRun = False
    ) -> Response:
        """Take a rule away; the tickets that went by it stay where they are."""
        async with rt.database.unit_of_work(keep=not dry_run) as uow:
            await usecases.remove_rule(uow, rule, caller.known_as, expected=expected)
        return Response(status_code=204)


async def _shown(
    uow: UnitOfWork, rule: Rule, *, status: int = 200, location: str | None = None
) -> Response:
    return respond(
        RuleWithRemarks.of(rule, await ruling.remarks(uow)),
        status=status,
        version=rule.version,
        location=location,
    )


def _place(rule: Rule) -> tuple[int, UUID]:
    return rule.position, rule.id


def _with(rules: list[Rule], tried: tuple[NewRule, ...], queues: Collection[str]) -> list[Rule]:
    """The list as it would be with these rules, in its order."""
    found = {rule.name: rule for rule in rules}
    default = {rule.name for rule in rules if is_default(rule)}
    for place, body in enumerate(tried):
        if body.name in default:
            raise invalid_field(f"rules.{place}.name", "must not be that of the default rule")
        if body.queue not in queues:
            raise invalid_field(f"rules.{place}.queue", f"must be one of {', '.join(queues)}")
        rule = body.rule(new_id())
        if known := found.get(rule.name):
            rule = replace(rule, id=known.id)
        found[rule.name] = rule
    return sorted(found.values(), key=_place)


def _tried(one: ruling.Tried) -> TriedAnswer:
    ticket = one.ticket
    return TriedAnswer(
        ticket_id=ticket.id,
        product=ticket.product,
        type=ticket.type,
        priority=ticket.priority,
        rule=one.then.name,
        queue=one.then.queue,
        rule_now=one.now.name,
        queue_now=one.now.queue,
        text_unknown=one.text_unknown,
    )
