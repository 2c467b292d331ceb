"""`waybill reconcile`: every service's picture of the others' facts, compared with the owners."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

import grpc
import typer
from waybill.common.v1.reconcile_pb2 import ReconcileReport
from waybill.intake.v1 import service_pb2 as intake
from waybill.intake.v1.service_pb2_grpc import TicketServiceStub
from waybill.kb.v1 import service_pb2 as kb
from waybill.kb.v1.service_pb2_grpc import KnowledgeServiceStub
from waybill.notify.v1 import service_pb2 as notify
from waybill.notify.v1.service_pb2_grpc import DeliveryServiceStub
from waybill.routing.v1 import service_pb2 as routing
from waybill.routing.v1.service_pb2_grpc import AssignmentServiceStub
from waybill.sla.v1 import service_pb2 as sla
from waybill.sla.v1.service_pb2_grpc import ClockServiceStub

from waybill_cli.api import OPERATOR
from waybill_cli.errors import StackError
from waybill_cli.local import keys, settings
from waybill_cli.tables import print_table

_MOST_SHOWN = 50
_TOKEN_TTL = timedelta(hours=2)

_ASK: Mapping[str, tuple[Callable[[grpc.Channel], Any], Callable[..., Any]]] = {
    "intake": (TicketServiceStub, intake.ReconcileRequest),
    "routing": (AssignmentServiceStub, routing.ReconcileRequest),
    "sla": (ClockServiceStub, sla.ReconcileRequest),
    "notify": (DeliveryServiceStub, notify.ReconcileRequest),
    "kb": (KnowledgeServiceStub, kb.ReconcileRequest),
}


@dataclass(frozen=True, slots=True)
class Found:
    """What one service's comparison found; `report` is None when it could not be asked."""

    service: str
    report: ReconcileReport | None
    said: str = ""

    @property
    def clean(self) -> bool:
        """Whether everything was compared and nothing differs that is not repaired."""
        report = self.report
        return report is not None and not report.unreachable and report.differing <= report.repaired


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("reconcile")(reconcile)


def reconcile(
    repair: Annotated[bool, typer.Option("--repair", help="Put right what differs.")] = False,
    service: Annotated[
        list[str] | None, typer.Option("--service", "-s", help="Only this one. Repeatable.")
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=1, help="Seconds that one service may take.")
    ] = 600.0,
) -> None:
    """Compare all projections with their owners.

    The exit code is 1 when something differs and was not repaired, or could not be compared.
    """
    wanted = service or list(settings.SERVICES)
    if unknown := [name for name in wanted if name not in settings.SERVICES]:
        raise StackError(f"no service {', '.join(unknown)}; use {', '.join(settings.SERVICES)}")
    stack = settings.read()
    token = keys.mint(stack.keys_dir, OPERATOR, _TOKEN_TTL)
    found = [ask(stack, name, token, repair=repair, timeout=timeout) for name in wanted]
    print_found(found)
    if not all(one.clean for one in found):
        raise typer.Exit(1)


def ask(
    stack: settings.StackSettings, service: str, token: str, *, repair: bool, timeout: float
) -> Found:
    """Let one service compare; one that is away is said so."""
    make_stub, request = _ASK[service]
    with grpc.insecure_channel(stack.grpc_address(service)) as channel:
        try:
            answer = make_stub(channel).Reconcile(
                request(repair=repair),
                timeout=timeout,
                metadata=[("authorization", f"Bearer {token}")],
            )
        except grpc.RpcError as error:
            return Found(service, None, _said(error, stack.grpc_address(service)))
    return Found(service, answer.report)


def _said(error: grpc.RpcError, address: str) -> str:
    code = getattr(error, "code", lambda: None)()
    if code is grpc.StatusCode.UNAVAILABLE:
        return f"nobody answers at {address}"
    name = code.name if code is not None else type(error).__name__
    return f"{name}: {getattr(error, 'details', str)()}"[:200]


def print_found(found: list[Found]) -> None:
    """The table of services, then what differs."""
    print_table(
        ("service", "checked", "differing", "repaired", "not reached"),
        [
            (
                one.service,
                *(
                    (
                        str(one.report.checked),
                        str(one.report.differing),
                        str(one.report.repaired),
                        ", ".join(one.report.unreachable) or "-",
                    )
                    if one.report is not None
                    else ("-", "-", "-", f"itself: {one.said}")
                ),
            )
            for one in found
        ],
        right=("checked", "differing", "repaired"),
    )
    rows = [
        (
            one.service,
            f"{difference.owner}.{difference.field}",
            difference.subject,
            "yes" if difference.repaired else "no",
            f"{difference.held or 'nothing'}, owned: {difference.owned or 'nothing'}",
        )
        for one in found
        if one.report is not None
        for difference in one.report.differences
    ]
    if rows:
        typer.echo("")
        print_table(
            ("held by", "fact", "subject", "repaired", "held, and what the owner has"),
            rows[:_MOST_SHOWN],
        )
    if len(rows) > _MOST_SHOWN:
        typer.echo(f"and {len(rows) - _MOST_SHOWN} more differences")
