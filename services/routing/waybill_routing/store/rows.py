"""Rows as what they stand for."""

from datetime import datetime
from typing import Any

from waybill_routing.domain import (
    Agent,
    Assignment,
    Case,
    Method,
    Presence,
    Queue,
    Rule,
    Skill,
    SkillKind,
    State,
    Strategy,
    Team,
    Ticket,
)

CASE = """
    a.ticket_id, a.product, a.type, a.priority, a.status, a.opened_at, a.intake_sequence,
    a.risk_share, a.due_at, a.sla_sequence, a.escalation_sequence, a.state, a.agent_id, a.team,
    a.queue, a.version, a.since, a.why, a.method, a.waiting_since, a.given_back_by, a.language,
    a.tags, a.tier, a.weight, a.accepted_at, a.given_back_until
"""
"""The columns of `case_of`, from `assignments AS a`."""

QUEUE = "q.slug, q.team, q.strategy, q.needs, q.at_once, q.version"
"""The columns of `queue_of`, from `queues AS q`."""

AGENT = """
    g.id, g.email, g.name, g.capacity, g.presence, g.presence_since, g.open_tickets, g.load,
    g.last_assigned_at, g.on_duty, g.duty_until, g.stand_in, g.version,
    ARRAY(SELECT t.team FROM agent_teams AS t WHERE t.agent_id = g.id ORDER BY t.position) AS teams,
    ARRAY(SELECT s.kind || ' ' || s.level || ' ' || s.value FROM agent_skills AS s
          WHERE s.agent_id = g.id ORDER BY s.kind, s.value) AS skills
"""
"""The columns of `agent_of`, from `agents AS g`."""

RULE = """
    r.id, r.position, r.queue, r.name, r.enabled, r.product, r.type, r.priority, r.language, r.tier,
    r.tags_any, r.tags_all, r.text, r.version
"""
"""The columns of `rule_of`, from `rules AS r`."""


def case_of(row: Any) -> Case:
    """A ticket with its assignment."""
    return Case(
        ticket=Ticket(
            id=row.ticket_id,
            product=row.product,
            type=row.type,
            priority=row.priority,
            status=row.status,
            language=row.language,
            tags=tuple(row.tags),
            tier=row.tier,
            opened_at=row.opened_at,
            sequence=row.intake_sequence,
        ),
        assignment=Assignment(
            state=State(row.state),
            agent_id=row.agent_id,
            team=row.team,
            queue=row.queue,
            version=row.version,
            since=row.since,
            why=row.why,
            method=None if row.method is None else Method(row.method),
            waiting_since=row.waiting_since,
            given_back_by=row.given_back_by,
            given_back_until=row.given_back_until,
            accepted_at=row.accepted_at,
        ),
        weight=row.weight,
        risk_share=row.risk_share,
        due_at=row.due_at,
        sla_sequence=row.sla_sequence,
        escalation_sequence=row.escalation_sequence,
    )


def agent_of(row: Any, now: datetime | None = None) -> Agent:
    """An agent with their teams and skills; on duty at `now`, if that is given."""
    overdue = now is not None and row.duty_until is not None and row.duty_until <= now
    return Agent(
        id=row.id,
        email=row.email,
        name=row.name,
        teams=tuple(row.teams),
        skills=tuple(map(_skill_of, row.skills)),
        capacity=row.capacity,
        presence=Presence(row.presence),
        presence_since=row.presence_since,
        open_tickets=row.open_tickets,
        load=row.load,
        last_assigned_at=row.last_assigned_at,
        on_duty=row.on_duty and not overdue,
        stand_in=row.stand_in,
        version=row.version,
    )


def _skill_of(text: str) -> Skill:
    kind, level, value = text.split(" ", 2)
    return Skill(SkillKind(kind), value, int(level))


def team_of(row: Any) -> Team:
    """A team."""
    return Team(
        slug=row.slug,
        name=row.name,
        escalation_level=row.escalation_level,
        version=row.version,
    )


def queue_of(row: Any) -> Queue:
    """A queue."""
    return Queue(
        slug=row.slug,
        team=row.team,
        strategy=Strategy(row.strategy),
        needs=frozenset(SkillKind(kind) for kind in row.needs),
        at_once=row.at_once,
        version=row.version,
    )


def rule_of(row: Any) -> Rule:
    """A rule."""
    return Rule(
        id=row.id,
        position=row.position,
        queue=row.queue,
        name=row.name,
        enabled=row.enabled,
        product=tuple(row.product),
        type=tuple(row.type),
        priority=tuple(row.priority),
        language=tuple(row.language),
        tier=tuple(row.tier),
        tags_any=tuple(row.tags_any),
        tags_all=tuple(row.tags_all),
        text=tuple(row.text),
        version=row.version,
    )
