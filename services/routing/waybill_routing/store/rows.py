"""Rows as what they stand for."""

from typing import Any

from waybill_routing.domain import (
    Agent,
    Assignment,
    Case,
    Method,
    Presence,
    Queue,
    Rule,
    State,
    Strategy,
    Team,
    Ticket,
)

CASE = """
    a.ticket_id, a.product, a.type, a.priority, a.status, a.opened_at, a.intake_sequence,
    a.risk_share, a.due_at, a.sla_sequence, a.escalation_sequence, a.state, a.agent_id, a.team,
    a.queue, a.version, a.since, a.why, a.method, a.waiting_since, a.given_back_by
"""
"""The columns of `case_of`, from `assignments AS a`."""

AGENT = """
    g.id, g.email, g.name, g.skills, g.capacity, g.presence, g.presence_since, g.open_tickets,
    g.last_assigned_at, g.version,
    ARRAY(SELECT t.team FROM agent_teams AS t WHERE t.agent_id = g.id ORDER BY t.position) AS teams
"""
"""The columns of `agent_of`, from `agents AS g`."""


def case_of(row: Any) -> Case:
    """A ticket with its assignment."""
    return Case(
        ticket=Ticket(
            id=row.ticket_id,
            product=row.product,
            type=row.type,
            priority=row.priority,
            status=row.status,
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
        ),
        risk_share=row.risk_share,
        due_at=row.due_at,
        sla_sequence=row.sla_sequence,
        escalation_sequence=row.escalation_sequence,
    )


def agent_of(row: Any) -> Agent:
    """An agent with their teams."""
    return Agent(
        id=row.id,
        email=row.email,
        name=row.name,
        teams=tuple(row.teams),
        skills=tuple(row.skills),
        capacity=row.capacity,
        presence=Presence(row.presence),
        presence_since=row.presence_since,
        open_tickets=row.open_tickets,
        last_assigned_at=row.last_assigned_at,
        version=row.version,
    )


def team_of(row: Any) -> Team:
    """A team."""
    return Team(slug=row.slug, name=row.name, escalation_level=row.escalation_level)


def queue_of(row: Any) -> Queue:
    """A queue."""
    return Queue(slug=row.slug, team=row.team, strategy=Strategy(row.strategy))


def rule_of(row: Any) -> Rule:
    """A rule."""
    return Rule(
        id=row.id,
        position=row.position,
        queue=row.queue,
        product=row.product,
        type=row.type,
        priority=row.priority,
    )
